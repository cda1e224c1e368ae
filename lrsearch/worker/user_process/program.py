"""What scripts and commands have in common: each trial is a process, one at a time."""

from abc import ABC, abstractmethod
from functools import cached_property

from lrsearch.child_process.supervisor import Supervisor
from lrsearch.errors import SpecError
from lrsearch.fusing.choice import Choice
from lrsearch.fusing.compiling import CompileOption
from lrsearch.fusing.fuse_option import FuseOption
from lrsearch.plain_data import Fields
from lrsearch.recipe.recipe import Recipe
from lrsearch.study.open_study import OpenStudy
from lrsearch.task.worker_facts import DataFacts
from lrsearch.training.training import Purpose, Training
from lrsearch.trial.curve import Validation
from lrsearch.worker.user_process.engine import ProcessEngine
from lrsearch.worker.user_process.training import ProcessTraining

ONE_BY_ONE = "a script of the user's own trains one trial in each process"


class ProcessProgram(ABC):
    """See `worker.program.Program`."""

    has_test = False

    @cached_property
    def supervisor(self) -> Supervisor:
        """Starts and ends the processes."""
        return self.make_supervisor()

    @abstractmethod
    def make_supervisor(self) -> Supervisor:
        """The one that serves this worker."""

    @abstractmethod
    def training(self, recipe: Recipe, purpose: Purpose) -> ProcessTraining:
        """A trial whose process starts when it is to train."""

    def batch_size(self, params: Fields) -> int | None:
        return None

    def data_facts(self) -> tuple[DataFacts, ...]:
        return ()

    def choice(
        self,
        search: OpenStudy,
        fuse: FuseOption,
        compile: CompileOption,
        *,
        started_together: int,
    ) -> Choice:
        if isinstance(fuse, int):
            raise SpecError(f"--fuse {fuse}: {ONE_BY_ONE}; leave --fuse out")
        return Choice.solo(ONE_BY_ONE)

    def engine(self, choice: Choice, recipe: Recipe) -> ProcessEngine:
        return self.solo()

    def solo(self) -> ProcessEngine:
        return ProcessEngine(self.training)

    def test_scores(self, training: Training, recipe: Recipe) -> dict[str, float]:
        raise NotImplementedError("a script has no test set")

    def noise_metrics(self, training: Training, recipe: Recipe) -> dict[str, float]:
        raise NotImplementedError("a script's gradients are its own")

    def keep_weights(self, training: Training, row: Validation) -> None:
        raise NotImplementedError("a command keeps its weights itself")

    def close(self) -> None:
        """End the supervisor, and what is left of its processes."""
        if "supervisor" in self.__dict__:
            self.supervisor.close()
