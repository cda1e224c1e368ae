"""A training script of the user's own, which a process of its own runs for each trial."""

from collections.abc import Callable
from functools import cached_property

import torch

from lrsearch.child_process.folders import trial_folder
from lrsearch.child_process.supervisor import Supervisor
from lrsearch.child_process.warm import warm_modules
from lrsearch.range_test.plan import RampPlan
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.script import script_folder
from lrsearch.task.task import LoadedCode
from lrsearch.training.training import Purpose, Training
from lrsearch.trial.curve import Validation
from lrsearch.worker.scripts.process import ENTRY, Launch
from lrsearch.worker.scripts.range_test import ScriptRangeTraining
from lrsearch.worker.scripts.surroundings import Surroundings
from lrsearch.worker.scripts.training import ScriptTraining
from lrsearch.worker.user_process.program import ProcessProgram


class ScriptProgram(ProcessProgram):
    """See `worker.program.Program`."""

    def __init__(
        self,
        spec: StudySpec,
        loaded: LoadedCode,
        device: torch.device,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.spec, self.loaded, self.device, self.stop = spec, loaded, device, stop
        self._hints: set[str] = set()

    def make_supervisor(self) -> Supervisor:
        """Starts and ends the processes; it has torch imported, so that they need not."""
        if self.spec.launch:
            return Supervisor()
        return Supervisor(warm=[*warm_modules(self.loaded.source), ENTRY.partition(":")[0]])

    @cached_property
    def surroundings(self) -> Surroundings:
        launch = Launch(
            reference=self.loaded.reference,
            script_dir=script_folder(self.loaded),
            launcher=self.spec.launch,
            arguments=self.spec.arguments,
            grace=self.spec.end.grace,
        )
        return Surroundings(
            supervisor=self.supervisor,
            launch=launch,
            device=str(self.device),
            threads=torch.get_num_threads(),
            stop=self.stop,
            hints=self._hints,
        )

    def training(self, recipe: Recipe, purpose: Purpose) -> ScriptTraining:
        folder = trial_folder(self.spec.name, purpose.folder)
        return ScriptTraining(self.spec, recipe, purpose, folder, self.surroundings)

    def keep_weights(self, training: Training, row: Validation) -> None:
        assert isinstance(training, ScriptTraining)
        training.keep_weights(row)

    def range_trainer(self, plan: RampPlan, stop: Callable[[], bool]) -> ScriptRangeTraining:
        return ScriptRangeTraining(self.spec, plan, self.surroundings, stop)
