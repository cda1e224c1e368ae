"""A run as experiment trackers show it: values, and what each tracker does with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from lrsearch.trial.states import TrialState

#: A hyperparameter's value.
Param = bool | int | float | str


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is known of a run before it ends."""

    #: The same for all workers that train it, and no other run's: a mark of the study and `folder`.
    id: str
    study: str
    #: `trial 3`.
    name: str
    #: `trial-3`, unique in the study; it can be the name of a folder.
    folder: str
    kind: Literal["search", "confirmation"]
    #: The recipe's fields by flat names such as `optimizer.lr`, in torch's units; absent ones left
    #: out.
    params: Mapping[str, Param]
    #: Trial, seed, worker, attempt and the like, as text.
    tags: Mapping[str, str]
    #: Seconds since 1970.
    started_at: float


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a validation has measured."""

    #: Optimizer steps, or units of a script's progress.
    step: int
    #: Seconds since 1970: when the run began, and its training and validation time until then.
    at: float
    #: Finite ones alone.
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class End:
    """How a run has ended."""

    state: TrialState
    #: In words; None where nothing went wrong.
    reason: str | None
    #: The last step that was validated; 0 if none was.
    step: int
    #: Seconds since 1970.
    at: float
    #: `objective`, and what else was measured of the whole run; finite ones alone.
    scores: Mapping[str, float]


class OpenRun(Protocol):
    """A run that a tracker has open. What it cannot write raises an error of the tracker's own."""

    def write(self, points: Sequence[Point]) -> None:
        """Add what the run does not have yet; steps rise from call to call."""
        ...

    def end(self, end: End) -> None:
        """Say how the run has ended, and close it."""
        ...

    def close(self) -> None:
        """Keep what was written; the run goes on elsewhere."""
        ...


class Tracker(Protocol):
    """Where runs are logged."""

    def open(self, run: Run) -> OpenRun:
        """Begin a run, or go on with the one of the same id."""
        ...

    def would_lose(self, run: Run) -> bool:
        """Whether to open a run whose points are not known any more would cost those it has."""
        ...
