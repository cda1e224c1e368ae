"""An engine of one place, which is a process of the user's code."""

from collections.abc import Callable, Sequence

from lrsearch.recipe.recipe import Recipe
from lrsearch.training.engine import OnePlaceEngine
from lrsearch.training.training import SEARCH, Purpose, Training
from lrsearch.trial.curve import Validation
from lrsearch.worker.user_process.training import ProcessTraining

#: How long the worker listens to the process before it looks after its leases again.
LISTEN_SECONDS = 0.25


class ProcessEngine(OnePlaceEngine[ProcessTraining]):
    """See `training.engine.Engine`."""

    name = "process"

    def __init__(self, make: Callable[[Recipe, Purpose], ProcessTraining]) -> None:
        super().__init__()
        self._make = make

    def admit(self, recipe: Recipe, purpose: Purpose = SEARCH) -> ProcessTraining:
        """A trial whose process starts when it is to train."""
        assert not self.trainings, "the place is taken"
        training = self._make(recipe, purpose)
        self.trainings.append(training)
        return training

    def advance(self, steps: int) -> None:
        for training in self.trainings:
            training.go_on(LISTEN_SECONDS)

    def validate(
        self, trainings: Sequence[Training], *, with_ema: Callable[[Training], bool]
    ) -> list[Validation]:
        """Take what the processes have reported."""
        return [
            training.conclude() for training in trainings if isinstance(training, ProcessTraining)
        ]

    def drop(self, training: Training) -> None:
        """End its process; nothing that it has started is left."""
        dropped = [mine for mine in self.trainings if mine is training]
        self.trainings = [mine for mine in self.trainings if mine is not training]
        for mine in dropped:
            mine.end(None if mine.finished else "diverged" if mine.diverged else "pruned")

    def close(self) -> None:
        """End the processes that are left: the worker is to stop."""
        for training in self.trainings:
            training.end("stopped")
        self.trainings = []
