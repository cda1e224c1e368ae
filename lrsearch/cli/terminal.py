"""What a terminal shows of a study while it is created and trained."""

from lrsearch.cli.options import announce
from lrsearch.cli.output import say
from lrsearch.report.text.origin import origin_text
from lrsearch.report.text.plan import plan_text
from lrsearch.run_study import Created, ProgressBar
from lrsearch.storage.database import Database


class Terminal(ProgressBar):
    """The plan and what a new study took over on stdout, then a progress bar on stderr."""

    def __init__(self, *, quiet: bool = False) -> None:
        """`quiet` leaves stdout to a JSON document."""
        self.quiet = quiet

    def opened(self, database: Database) -> None:
        announce(database, quiet=self.quiet)

    def created(self, created: Created) -> None:
        if self.quiet:
            return
        say(plan_text(created.study.spec, created.plan))
        for line in origin_text(created.study.origin) if created.is_new else []:
            say(line)
