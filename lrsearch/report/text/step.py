"""A next step: what it is for, and the line to paste."""

from dataclasses import dataclass
from typing import Literal, Protocol

from lrsearch.spec.transfer_field import LadderField


@dataclass(frozen=True, kw_only=True)
class NextStep:
    #: The end of `Next, to ...`.
    why: str
    #: What to paste.
    command: str
    #: Where to paste it.
    language: Literal["shell", "python"] = "shell"

    @property
    def sentence(self) -> str:
        where = ", in Python" if self.language == "python" else ""
        return f"Next, to {self.why}{where}: {self.command}"


class Steps(Protocol):
    """The steps that a study may ask for, in the words of a shell or of Python."""

    def use(self) -> NextStep:
        """The recommended recipe in the user's own training."""

    def confirm(self, runs: int) -> NextStep:
        """So many trainings with fresh seeds in all."""

    def widen(self, why: str) -> NextStep:
        """Another space."""

    def more_budget(self) -> NextStep:
        """Twice the budget; one in epochs or in time has no argument of its own."""

    def long_runs(self, ladder: LadderField) -> NextStep:
        """Test a guess about a longer run by long runs, in a study of another name."""

    def train(self, why: str) -> NextStep:
        """Go on with a study that nobody trains."""

    def resume(self) -> NextStep:
        """Go on with a study that is paused."""

    def look(self) -> NextStep:
        """See what is trained now."""

    def check(self) -> NextStep:
        """See a loss that is not finite before any step."""

    def failure(self) -> NextStep:
        """See why trials failed."""

    def range_test(self) -> NextStep:
        """See from which learning rate on training diverges."""
