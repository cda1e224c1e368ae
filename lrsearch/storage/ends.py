"""How what a worker trains has ended: what is written into its row."""

from dataclasses import dataclass

from lrsearch.plain_data import Fields
from lrsearch.trial.curve import Scores
from lrsearch.trial.states import TrialState


@dataclass(frozen=True, kw_only=True)
class End:
    """The end of a trial, range test or confirmation run that gave nothing."""

    state: TrialState
    #: In words for people; None where nothing went wrong.
    reason: str | None = None
    #: What it has trained.
    epochs: float
    #: Of training and validation.
    seconds: float

    def columns(self) -> Fields:
        """What is written; what there is nothing of stays as it is in the row."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class TrialEnd(End):
    """The end of a search trial."""

    #: The objective at its best validation; None for one that diverged or failed.
    value: float | None = None
    #: Number of that validation.
    best_validation: int | None = None
    #: Of that validation.
    metrics: Scores | None = None


@dataclass(frozen=True, kw_only=True)
class ConfirmationEnd(End):
    """The end of a confirmation run."""

    #: As in `TrialEnd`.
    value: float | None = None
    metrics: Scores | None = None
    #: Loss and metrics on the task's test set.
    test: Scores | None = None


@dataclass(frozen=True, kw_only=True)
class RangeTestEnd(End):
    """The end of a range test."""

    #: `RangeTest.to_dict()`.
    result: Fields | None = None
