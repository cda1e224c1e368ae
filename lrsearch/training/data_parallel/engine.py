"""The engine of a trial on several devices: one place, and a process for each device."""

from collections.abc import Callable, Sequence

from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.data_parallel.place import Place
from lrsearch.training.data_parallel.processes import Processes
from lrsearch.training.data_parallel.training import Others, SharedTraining
from lrsearch.training.engine import SoloEngine
from lrsearch.training.start import plan_of, scored, steps_per_epoch
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.training import SEARCH, Purpose, Training
from lrsearch.trial.curve import Measurement


def begin(
    spec: StudySpec,
    recipe: Recipe,
    cache: TaskCache,
    purpose: Purpose,
    place: Place,
    others: Others | None = None,
) -> SharedTraining:
    """A trial at step 0 in this process. All of its processes have to call it."""
    task, splits = cache.splits(recipe)
    plan = plan_of(spec, recipe, steps_per_epoch(splits[0], recipe.accumulate), purpose)
    return SharedTraining(
        scored(task, spec), recipe, plan, splits, cache.device, place, purpose, others
    )


class DataParallelEngine(SoloEngine):
    """One place: a trial that all processes train. Where one of them fails, all are ended."""

    def __init__(self, spec: StudySpec, cache: TaskCache, processes: Processes) -> None:
        super().__init__(spec, cache)
        self.processes = processes

    def admit(self, recipe: Recipe, purpose: Purpose = SEARCH) -> SharedTraining:
        """A trial at step 0. Raises TaskError, TrialFailedError, whatever the task's data raise."""
        assert not self.trainings, "the place is taken"
        processes = self.processes
        processes.start()
        with processes.guarding():
            training = begin(
                self.spec, recipe, self.cache, purpose, processes.setup.place, processes
            )
        self.trainings.append(training)
        return training

    def advance(self, steps: int) -> None:
        with self.processes.guarding():
            super().advance(steps)

    def validate(
        self, trainings: Sequence[Training], *, with_ema: Callable[[Training], bool]
    ) -> list[Measurement]:
        with self.processes.guarding():
            return super().validate(trainings, with_ema=with_ema)
