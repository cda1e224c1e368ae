"""A trial in a worker's hands: what it is given, and what it tells in the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from lrsearch.recipe.recipe import Recipe
from lrsearch.storage.checkpoints import File
from lrsearch.storage.leases import Claim
from lrsearch.trial.curve import Validation
from lrsearch.trial.states import TrialState

if TYPE_CHECKING:
    from lrsearch.study.draw import Drawn  # Optuna: not for who only reads


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A trial that a worker has claimed, and what to train."""

    claim: Claim
    #: Optuna's trial id and number.
    trial_id: int
    number: int
    kind: str
    #: What is trained, as it was recorded.
    drawn: "Drawn"
    #: Workers that died in it without a new checkpoint.
    deaths: int = 0

    @property
    def recipe(self) -> Recipe:
        return self.drawn.recipe


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A trial at a rung, with what it has shown."""

    assignment: Assignment
    rung: int
    #: What is compared, and the objective's value for Optuna.
    signal: float
    value: float
    #: Number of the validation, those on a part of the validation set counted.
    validation: int
    #: Trained until then.
    epochs: float
    seconds: float
    #: Of its curve, as far as they are not in the database yet.
    rows: Sequence[Validation] = ()
    #: Validations that this attempt has taken so far, `rows` included; None: not looked at.
    taken: int | None = None
    #: The trial as it stands there; recorded with the arrival. None: whoever goes on with it begins
    #: at an earlier checkpoint.
    checkpoint: File | None = None


class Verdict(StrEnum):
    """What becomes of a trial at a rung."""

    GOES_ON = "goes on"
    ENDS = "ends"
    WAITS = "waits"  #: where it stands, until it is known whether it goes on
    LOST = "lost"  #: its claim is another worker's


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a trial's training ended."""

    state: TrialState
    reason: str | None
    epochs: float
    seconds: float
    #: Share of the horizon that was trained.
    progress: float
    #: Loss of the first batch.
    start_loss: float


class LostTrialError(Exception):
    """The trial belongs to another worker now; whoever gets this drops it and goes on."""
