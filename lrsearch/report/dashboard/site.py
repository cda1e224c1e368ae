"""What the dashboard shows: an index of the studies, and the report of each, each with its ETag."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lrsearch.report.all_studies import status_of, studies_in
from lrsearch.report.dashboard import pages
from lrsearch.report.dashboard.metrics import metrics_text
from lrsearch.report.dashboard.pages import Row
from lrsearch.report.load import load_report
from lrsearch.report.page.page import page_text
from lrsearch.spec.shipped_studies import folders
from lrsearch.storage import overview
from lrsearch.storage.database import Database, explained
from lrsearch.storage.overview import StudyMarks
from lrsearch.task.own_code import load_recorded

#: A report is made again after so many seconds at the earliest, and so many times as long as making
#: it took: a study that runs has the processor for its training.
LEAST_SECONDS, TIMES_AS_LONG = 5.0, 10.0


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a browser gets, and what tells it from a later one."""

    text: str
    etag: str


@dataclass(frozen=True, kw_only=True)
class Made:
    """A report as it was made."""

    page: Page
    #: Of the study when it was made.
    marks: StudyMarks
    #: By this machine's monotonic clock: from when on it is made again if the study has gone on.
    due: float


class Site:
    """The pages of a database's studies. Its methods may be called by many threads at once."""

    def __init__(
        self,
        database: Database,
        *,
        optuna: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`optuna` is where optuna-dashboard answers; None: it does not run."""
        self.database, self.optuna, self._clock = database, optuna, clock
        self._made: dict[str, Made] = {}
        #: Held while a report is made: one at a time.
        self._making = threading.Lock()

    def index(self) -> Page:
        """The list of studies. Raises StorageError while the database does not answer."""
        return _page(pages.index(self._rows(), where=self._where, optuna=self.optuna))

    def metrics(self) -> str:
        """The studies as Prometheus reads them. Raises StorageError, MissingLibraryError."""
        return metrics_text(status_of(self.database))

    @property
    def _where(self) -> str:
        return f"{self.database.location}"

    def frame(self, name: str) -> Page | None:
        """The page around a study's report; None where there is no such study."""
        names = [row.name for row in self._rows()]
        return _page(pages.frame(name, optuna=self.optuna)) if name in names else None

    def report(self, name: str) -> Page | None:
        """A study's report, made anew where the study has gone on; None where there is no study.

        While another thread makes it, the one before is given.
        """
        marks = self._marks(name)
        if marks is None:
            return None
        made = self._made.get(name)
        if made is not None and (made.marks == marks or self._is_soon(made, marks)):
            return made.page
        if not self._making.acquire(blocking=made is None):
            return None if made is None else made.page
        try:
            return self._make(name, marks)
        finally:
            self._making.release()

    def _is_soon(self, made: Made, marks: StudyMarks) -> bool:
        """Whether it was made a moment ago, of a study that goes on: the next comes anyway."""
        return bool(marks.running or marks.open_runs) and self._clock() < made.due

    def _make(self, name: str, marks: StudyMarks) -> Page:
        made = self._made.get(name)
        if made is not None and made.marks == marks:
            return made.page  # another thread made it meanwhile
        begun = self._clock()
        report = load_report(self.database, name, with_curves=True)
        load_recorded(report.spec.own_names(), report.study.code, folders())
        page = _page(page_text(report))
        took = self._clock() - begun
        due = self._clock() + max(LEAST_SECONDS, TIMES_AS_LONG * took)
        self._made[name] = Made(page=page, marks=marks, due=due)
        return page

    def _marks(self, name: str) -> StudyMarks | None:
        with explained(self.database), self.database.read() as connection:
            found = overview.everything(connection)
        return next((marks for marks in found if marks.name == name), None)

    def _rows(self) -> Sequence[Row]:
        with explained(self.database), self.database.read() as connection:
            return [Row.of(study) for study in studies_in(connection, self.database)]


def _page(text: str) -> Page:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Page(text=text, etag=f'"{digest[:32]}"')
