"""What trains trials: an engine with places. The solo one has one place and takes any model."""

from collections.abc import Callable, Sequence
from typing import Protocol

from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.failures import CohortError
from lrsearch.training.solo import Training
from lrsearch.training.start import start_training
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.training_run import Slot
from lrsearch.training.validation import Validation

__all__ = ["CohortError", "Engine", "SoloEngine", "epoch_end"]


class Engine(Protocol):
    """Trains the trials in its places; what the task's code raises comes through as it is."""

    #: Places; 1 for the solo engine.
    size: int
    #: "solo" or "fused".
    name: str

    @property
    def slots(self) -> Sequence[Slot]:
        """In training now, in the order of their places."""
        ...

    def takes(self, recipe: Recipe) -> bool:
        """Whether there is a free place, and its task and batch size are those of the others.

        A cohort of a model that draws random numbers takes one seed, and nobody once it has begun.
        """
        ...

    def may_join(self) -> bool:
        """Whether a place is free and this is the moment: the boundary of an epoch.

        A cohort that goes in lock-step takes trials before its first step only.
        """
        ...

    def may_join_later(self) -> bool:
        """Whether anybody can join those who are in it."""
        ...

    def admit(self, recipe: Recipe) -> Slot:
        """A trial at step 0 in a free place. Raises TaskError."""
        ...

    def fits(self, slot: Slot) -> bool:
        """Whether it stands at the same position of an epoch as the others.

        Asked after a checkpoint was put into the slot; one that does not fit is to be dropped.
        """
        ...

    def advance(self, steps: int) -> None:
        """Train every slot by at most so many steps.

        It stops at once where a validation is due, an epoch ends, or a trial has diverged. Raises
        CohortError.
        """
        ...

    def due(self) -> Sequence[Slot]:
        """Whose validation is due now."""
        ...

    def validate(
        self, slots: Sequence[Slot], *, with_ema: Callable[[Slot], bool]
    ) -> list[Validation]:
        """Validate these, averaged weights too where asked; in the order given.

        What raises leaves every trial before its validation.
        """
        ...

    def drop(self, slot: Slot) -> None:
        """Free its place; the others are untouched to the last bit."""
        ...

    def shrink(self) -> None:
        """Nobody will join any more: halve the places while at least half of them are free.

        Never below 2.
        """
        ...


class SoloEngine:
    """One place: a trial at a time, of any model."""

    size = 1
    name = "solo"

    def __init__(self, spec: StudySpec, cache: TaskCache) -> None:
        self.spec, self.cache = spec, cache
        self.slots: list[Training] = []

    def takes(self, recipe: Recipe) -> bool:
        return not self.slots

    def may_join(self) -> bool:
        return not self.slots

    def may_join_later(self) -> bool:
        return False

    def admit(self, recipe: Recipe) -> Slot:
        """A trial at step 0. Raises TaskError, and whatever the task's data raise."""
        assert not self.slots, "the place is taken"
        slot = start_training(self.spec, recipe, self.cache)
        self.slots.append(slot)
        return slot

    def fits(self, slot: Slot) -> bool:
        return True

    def advance(self, steps: int) -> None:
        for slot in self.slots:
            until = min(slot.step + steps, slot.next_validation, epoch_end(slot))
            slot.advance(until)

    def due(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.is_due]

    def validate(
        self, slots: Sequence[Slot], *, with_ema: Callable[[Slot], bool]
    ) -> list[Validation]:
        return [
            slot.validate(with_ema=with_ema(slot)) for slot in slots if isinstance(slot, Training)
        ]

    def drop(self, slot: Slot) -> None:
        self.slots = [kept for kept in self.slots if kept is not slot]

    def shrink(self) -> None:
        """It has one place."""


def epoch_end(slot: Slot) -> int:
    """The step at which the epoch of the next step ends."""
    per_epoch = slot.plan.steps_per_epoch
    return (slot.step // per_epoch + 1) * per_epoch
