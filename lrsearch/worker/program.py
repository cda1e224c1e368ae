"""What a worker trains: a task, or a script of the user's in a process of its own."""

from collections.abc import Callable
from typing import Protocol

from lrsearch.fusing.choice import Choice
from lrsearch.fusing.compiling import CompileOption
from lrsearch.fusing.fuse_option import FuseOption
from lrsearch.plain_data import Fields
from lrsearch.range_test.analysis import RangeTest
from lrsearch.range_test.plan import RampPlan
from lrsearch.recipe.recipe import Recipe
from lrsearch.study.open_study import OpenStudy
from lrsearch.task.worker_facts import DataFacts
from lrsearch.training.engine import Engine
from lrsearch.training.training import Training
from lrsearch.trial.curve import Validation


class RangeTrainer(Protocol):
    """The range test of one optimizer, in training."""

    #: Trained so far, of ramps that were not finished too.
    epochs: float
    seconds: float

    def run(self, seeds: int, *, exactly: bool = False) -> RangeTest | None:
        """Train up to so many ramps, or exactly so many; None if it was stopped.

        Raises TrialFailedError.
        """
        ...


class Program(Protocol):
    """The code that a study's trials run, on this worker's device."""

    def batch_size(self, params: Fields) -> int | None:
        """Samples of a batch for these params, where the code says so."""
        ...

    @property
    def has_test(self) -> bool:
        """Whether there is a test set, whatever the params."""
        ...

    def data_facts(self) -> tuple[DataFacts, ...]:
        """What its data are; empty where it reads them itself."""
        ...

    def choice(
        self,
        search: OpenStudy,
        fuse: FuseOption,
        compile: CompileOption,
        *,
        started_together: int,
    ) -> Choice:
        """Which engine trains, and how many trials at once. Raises SpecError, TaskError."""
        ...

    def engine(self, choice: Choice, recipe: Recipe) -> Engine:
        """An engine for this recipe and others like it.

        For several places it raises CohortError, and what the task's code raises.
        """
        ...

    def solo(self) -> Engine:
        """An engine of one place."""
        ...

    def range_trainer(self, plan: RampPlan, stop: Callable[[], bool]) -> RangeTrainer:
        """`stop` is asked before every step whether to end."""
        ...

    def test_scores(self, training: Training, recipe: Recipe) -> dict[str, float]:
        """What the deployed weights score on the test set: `loss` and metrics.

        Raises TrialFailedError if the code fails.
        """
        ...

    def noise_metrics(self, training: Training, recipe: Recipe) -> dict[str, float]:
        """The noise of the gradient where the trial stands, by the names of `transfer.batch`.

        Empty at a validation that is none of its points. Raises TrialFailedError if the code fails.
        """
        ...

    def keep_weights(self, training: Training, row: Validation) -> None:
        """Keep the weights that this validation was of, in the trial's checkpoints from now on."""
        ...

    def close(self) -> None:
        """Let the processes that serve it end."""
        ...
