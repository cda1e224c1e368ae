"""A task, which lrsearch's own engines train."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from lrsearch.catalog.domains import first_value
from lrsearch.errors import TaskError
from lrsearch.fusing.choice import Choice
from lrsearch.fusing.compiling import CompileOption
from lrsearch.fusing.fuse_option import FuseOption
from lrsearch.plain_data import Fields
from lrsearch.range_test.plan import RampPlan
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.study.open_study import OpenStudy
from lrsearch.task.task import LoadedTask, Task
from lrsearch.task.worker_facts import DataFacts
from lrsearch.training.data.facts import data_facts
from lrsearch.training.data_parallel.batch_norm import require_alone
from lrsearch.training.data_parallel.engine import DataParallelEngine
from lrsearch.training.data_parallel.processes import processes_of
from lrsearch.training.engine import Engine, SoloEngine
from lrsearch.training.failures import failures
from lrsearch.training.gradient_noise import gradient_noise
from lrsearch.training.graphed.choose import make_cohort
from lrsearch.training.kept_weights import KeptWeights
from lrsearch.training.range_test import RangeTraining
from lrsearch.training.scoring import score_test_set
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.training import Training
from lrsearch.training.trial_training import TrialTraining
from lrsearch.transfer.batch import NOISE, SIGNAL, is_point
from lrsearch.trial.curve import Validation
from lrsearch.worker.tasks import choose_engine


class TaskProgram:
    """See `worker.program.Program`."""

    def __init__(
        self,
        spec: StudySpec,
        loaded: LoadedTask,
        device: torch.device,
        folders: Sequence[Path] = (),
    ) -> None:
        """`folders` are those where other processes of a trial look for the task's file."""
        self.spec, self.device = spec, device
        self.cache = TaskCache(loaded, device)
        self.processes = processes_of(spec, loaded, device, folders)

    def batch_size(self, params: Fields) -> int | None:
        return self.cache.batch_size(params)

    @property
    def has_test(self) -> bool:
        task = self._first_task()
        return task is not None and task.test is not None

    def data_facts(self) -> tuple[DataFacts, ...]:
        task = self._first_task()
        return () if task is None else data_facts(task)

    def _first_task(self) -> Task | None:
        """That of the first value of each searched param; None where it refuses them."""
        params = self.spec.space.params
        try:
            return self.cache.task({key: first_value(domain) for key, domain in params.items()})
        except TaskError:  # trials that were given these params say so
            return None

    def choice(
        self,
        search: OpenStudy,
        fuse: FuseOption,
        compile: CompileOption,
        *,
        started_together: int,
    ) -> Choice:
        return choose_engine.choose(
            search, self.cache, self.device, fuse, compile, started_together=started_together
        )

    def engine(self, choice: Choice, recipe: Recipe) -> Engine:
        if choice.engine == "fused":
            return make_cohort(self.spec, self.cache, recipe, choice.size)
        if choice.engine == "compiled":
            return SoloEngine(self.spec, self.cache, compiles=True)
        return self.solo()

    def solo(self) -> Engine:
        if self.processes is not None:
            return DataParallelEngine(self.spec, self.cache, self.processes)
        return SoloEngine(self.spec, self.cache)

    def range_trainer(self, plan: RampPlan, stop: Callable[[], bool]) -> RangeTraining:
        return RangeTraining(self.spec, plan, self.cache, stop)

    def test_scores(self, training: Training, recipe: Recipe) -> dict[str, float]:
        assert isinstance(training, TrialTraining)
        with failures():
            scores = score_test_set(training, self.cache.test(recipe))
        return {**scores.metrics, "loss": scores.loss}

    def noise_metrics(self, training: Training, recipe: Recipe) -> dict[str, float]:
        assert isinstance(training, TrialTraining)
        if not is_point(training.validated, len(training.plan.validations)):
            return {}
        _, (train, _) = self.cache.splits(recipe)
        size = recipe.batch_size or self.cache.batch_size(recipe.params)
        assert size is not None
        with failures():
            require_alone(training.model)
            found = gradient_noise(training, train, size)
        return {NOISE: found.noise, SIGNAL: found.signal}

    def keep_weights(self, training: Training, row: Validation) -> None:
        assert isinstance(training, TrialTraining)
        training.kept_weights = KeptWeights.of(training, row)

    def close(self) -> None:
        """Let DataLoader workers end, and a trial's other processes."""
        self.cache.close()
        if self.processes is not None:
            self.processes.close()
