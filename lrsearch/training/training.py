"""A trial in training, as a worker sees it, whatever trains it: an engine here, or a process."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lrsearch.recipe.recipe import Recipe
from lrsearch.trial.curve import Validation
from lrsearch.trial.validations import Plan

if TYPE_CHECKING:
    from lrsearch.training.kept_weights import KeptWeights


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """What a training is for."""

    kind: Literal["search", "confirm", "check"] = "search"
    #: Name of a folder that is its own, such as `trial-3`; it stays when another worker goes on.
    folder: str = "trial"
    #: From 1 on: one more for each worker that takes it over.
    attempt: int = 1
    #: The worker's name.
    worker: str = ""


SEARCH = Purpose()


class Training(ABC):
    """A trial in training: how far it is, and its state as bytes.

    An engine's own kind of it has the attributes; `step` counts optimizer steps, or where only a
    script knows those, the units of its progress.
    """

    recipe: Recipe
    step: int
    #: How many validations are done.
    validated: int
    #: Of training and validation.
    seconds: float
    #: Loss of the first batch; NaN where it is not known.
    start_loss: float
    #: The step that another run had trained to before it: it went on from there.
    began: int = 0
    #: Why the trial diverged, once it has.
    diverged: str | None
    #: Called after every batch, trained or validated: the trial gets on.
    beat: Callable[[], None]
    #: What is recorded of a trial that came to its end in a way of its own.
    end_reason: str | None = None
    #: The weights of one of its validations, which are part of its checkpoints.
    kept_weights: "KeptWeights | None" = None

    @property
    def kept_row(self) -> Validation | None:
        """The validation whose weights are kept; None if none are yet."""
        return None if self.kept_weights is None else self.kept_weights.row

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether it trains no more."""

    @property
    @abstractmethod
    def is_due(self) -> bool:
        """Whether it waits for a validation."""

    @property
    @abstractmethod
    def epochs(self) -> float:
        """Epochs trained so far."""

    @property
    def own_epochs(self) -> float:
        """Epochs that it has trained itself."""
        return self.epochs

    @property
    @abstractmethod
    def progress(self) -> float:
        """Share of the horizon that is trained, from 0 to 1."""

    @property
    @abstractmethod
    def position(self) -> int:
        """Steps since the last epoch ended."""

    @abstractmethod
    def rung_of(self, validation: int) -> int | None:
        """The rung decided at this validation, 1-based; None if none is."""

    @abstractmethod
    def is_last(self, validation: int) -> bool:
        """Whether this validation, 1-based, is the one at the end of the horizon."""

    @property
    def wants_average(self) -> bool:
        """Whether the validation to come measures averaged weights too: at rungs and at the end."""
        number = self.validated + 1
        return self.is_last(number) or self.rung_of(number) is not None

    @property
    @abstractmethod
    def at_rung(self) -> bool:
        """Whether the last validation was at this step, and at a rung."""

    @abstractmethod
    def may_save(self) -> bool:
        """Whether its state can be had now."""

    @abstractmethod
    def pack(self, pending: Sequence[Validation] = ()) -> bytes:
        """The state, and the rows of its curve that are not in the database yet."""

    @abstractmethod
    def unpack(self, data: bytes, *, says_where: bool = True) -> list[Validation] | None:
        """Stand where `pack` was called; the rows that came along.

        None, with a line in the log and the trial still at its start, if these bytes cannot serve.
        Where another engine made them, a line in the log says so unless `says_where` is False.
        """


def wants_average(training: Training) -> bool:
    """See `Training.wants_average`: what a worker asks engines to measure."""
    return training.wants_average


class PlannedTraining(Training):
    """A trial whose validations are planned before it starts."""

    plan: Plan

    @property
    def done(self) -> bool:
        return self.step >= self.plan.total_steps or self.diverged is not None

    @property
    def epochs(self) -> float:
        """Epochs trained so far."""
        return self.step / self.plan.steps_per_epoch

    @property
    def own_epochs(self) -> float:
        return (self.step - self.began) / self.plan.steps_per_epoch

    @property
    def position(self) -> int:
        """Steps since the last epoch ended."""
        return self.step % self.plan.steps_per_epoch

    @property
    def wants_average(self) -> bool:
        """At rungs and at the end, once the average has forgotten most of the initial weights.

        Before it has seen more steps than it spans, more than 1/e of it is these. After one epoch
        of one epoch's span the best tenth of 2,000 digits runs is as well recognised without it:
        70 % are in the better third by the raw loss, 69 % by the better of both; after three
        epochs 88 and 87 %, after nine 95 and 96 %.
        """
        ema = self.recipe.ema
        span = 0.0 if ema is None else ema["epochs"] * self.plan.steps_per_epoch
        return super().wants_average and self.step > span

    @property
    def is_partial_next(self) -> bool:
        """Whether the validation to come is for a rung alone, on a part of the validation set."""
        return self.validated + 1 in self.plan.partial

    @property
    def next_validation(self) -> int:
        """The step of the validation to come."""
        return self.plan.validations[self.validated]

    @property
    def is_due(self) -> bool:
        """Whether the validation to come is that of this step."""
        left = self.validated < len(self.plan.validations)
        return left and self.diverged is None and self.step >= self.next_validation

    @property
    def progress(self) -> float:
        return self.step / self.plan.total_steps

    def rung_of(self, validation: int) -> int | None:
        return self.plan.rungs.get(validation)

    def is_last(self, validation: int) -> bool:
        return validation == len(self.plan.validations)

    @property
    def at_rung(self) -> bool:
        done = self.validated
        return self.rung_of(done) is not None and self.plan.validations[done - 1] == self.step
