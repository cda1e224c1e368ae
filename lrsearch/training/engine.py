"""Engines train trials. Each trial has a place; the solo engine has one place, for any model."""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.solo import SoloTraining
from lrsearch.training.start import start_training
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.training import SEARCH, Purpose, Training
from lrsearch.training.trial_training import TrialTraining
from lrsearch.trial.curve import Measurement

T = TypeVar("T", bound=Training)

#: Most steps between two looks at whether a worker is to stop.
STEPS_PER_LOOK = 16


class Engine(Protocol):
    """Trains the trials in its places. Exceptions of the task's code pass through unchanged."""

    #: Places; 1 for the solo engine.
    size: int
    #: "solo", "compiled" or "fused".
    name: str
    #: Most steps that it is asked for at once.
    steps_per_look: int

    @property
    def trainings(self) -> Sequence[Training]:
        """In training now, in the order of their places."""
        ...

    def takes(self, recipe: Recipe) -> bool:
        """Whether there is a free place, and its task and batch size are those of the others.

        A cohort of a model that draws random numbers takes trials of one seed, and only before its
        first step.
        """
        ...

    def may_join(self) -> bool:
        """Whether a place is free and this is the moment: the boundary of an epoch.

        A cohort that goes in lock-step takes trials before its first step only.
        """
        ...

    def may_join_later(self) -> bool:
        """Whether a trial can still join."""
        ...

    def admit(self, recipe: Recipe, purpose: Purpose = ...) -> Training:
        """A trial at step 0 in a free place. Raises TaskError."""
        ...

    def fits(self, training: Training) -> bool:
        """Whether it stands at the same position of an epoch as the others.

        Asked after a checkpoint was loaded into it; one that does not fit is to be dropped.
        """
        ...

    def advance(self, steps: int) -> None:
        """Train each by at most so many steps.

        It stops at once where a validation is due, an epoch ends, or a trial has diverged. Raises
        CohortError.
        """
        ...

    def due(self) -> Sequence[Training]:
        """Trials whose validation is due now."""
        ...

    def validate(
        self, trainings: Sequence[Training], *, with_ema: Callable[[Training], bool]
    ) -> Sequence[Measurement]:
        """Validate these, averaged weights too where asked; in the order given.

        Those that are whole are rows of their curves.

        What raises leaves every trial before its validation.
        """
        ...

    def drop(self, training: Training) -> None:
        """Free its place; the others are untouched to the last bit."""
        ...

    def shrink(self) -> None:
        """Halve the places while at least half of them are free: no trial will join any more.

        Never below 2.
        """
        ...

    def close(self) -> None:
        """Nothing is trained here any more, whatever ended it."""
        ...


class OnePlaceEngine(Generic[T]):
    """What engines of one place have in common; see `Engine`."""

    size = 1
    steps_per_look = STEPS_PER_LOOK

    def __init__(self) -> None:
        self.trainings: list[T] = []

    def takes(self, recipe: Recipe) -> bool:
        return not self.trainings

    def may_join(self) -> bool:
        return not self.trainings

    def may_join_later(self) -> bool:
        return False

    def fits(self, training: Training) -> bool:
        return True

    def due(self) -> list[T]:
        return [training for training in self.trainings if training.is_due]

    def shrink(self) -> None:
        """It has one place."""


class SoloEngine(OnePlaceEngine[SoloTraining]):
    """One place: a trial at a time, of any model; its steps are compiled if asked and possible."""

    def __init__(self, spec: StudySpec, cache: TaskCache, *, compiles: bool = False) -> None:
        super().__init__()
        self.spec, self.cache, self.compiles = spec, cache, compiles
        self.name = "compiled" if compiles else "solo"

    def admit(self, recipe: Recipe, purpose: Purpose = SEARCH) -> TrialTraining:
        """A trial at step 0. Raises TaskError, and whatever the task's data raise."""
        assert not self.trainings, "the place is taken"
        training = start_training(self.spec, recipe, self.cache, purpose, compiles=self.compiles)
        self.trainings.append(training)
        return training

    def advance(self, steps: int) -> None:
        for training in self.trainings:
            until = min(training.step + steps, training.next_validation, epoch_end(training))
            training.advance(until)

    def validate(
        self, trainings: Sequence[Training], *, with_ema: Callable[[Training], bool]
    ) -> list[Measurement]:
        return [
            training.validate(with_ema=with_ema(training))
            for training in trainings
            if isinstance(training, SoloTraining)
        ]

    def drop(self, training: Training) -> None:
        self.trainings = [kept for kept in self.trainings if kept is not training]

    def close(self) -> None:
        """It holds nothing outside of this process."""


def epoch_end(training: TrialTraining) -> int:
    """The step at which the epoch of the next step ends."""
    per_epoch = training.plan.steps_per_epoch
    return (training.step // per_epoch + 1) * per_epoch
