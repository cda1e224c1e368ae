"""A command, which is run for each trial as it is."""

from collections.abc import Callable

from lrsearch.child_process.folders import trial_folder
from lrsearch.child_process.supervisor import Supervisor
from lrsearch.range_test.plan import RampPlan
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import curves
from lrsearch.study.open_study import OpenStudy
from lrsearch.training.failures import TrialFailedError
from lrsearch.training.training import Purpose
from lrsearch.worker.commands.training import CommandTraining
from lrsearch.worker.program import RangeTrainer
from lrsearch.worker.user_process.program import ProcessProgram


class CommandProgram(ProcessProgram):
    """See `worker.program.Program`."""

    def __init__(self, spec: StudySpec, device: str, search: OpenStudy | None = None) -> None:
        """`search` is the study in the database; None before there is one."""
        self.spec, self.device, self.search = spec, device, search
        #: Reports of a whole run; None while that is not known.
        self._reports: int | None = None

    def make_supervisor(self) -> Supervisor:
        """One that starts programs as they are."""
        return Supervisor()

    def training(self, recipe: Recipe, purpose: Purpose) -> CommandTraining:
        return CommandTraining(
            self.spec,
            recipe,
            purpose,
            trial_folder(self.spec.name, purpose.folder),
            self.supervisor,
            device=self.device,
            reports=self._reports_of_a_run(),
        )

    def _reports_of_a_run(self) -> int | None:
        """What the first complete trial has shown; a study that knows its length needs none."""
        search = self.search
        if self._reports is None and search is not None and not self.spec.knows_length:
            self._reports = search.database.look(
                lambda connection: curves.most_validations(connection, search.study_id)
            )
        return self._reports

    def range_trainer(self, plan: RampPlan, stop: Callable[[], bool]) -> RangeTrainer:
        raise TrialFailedError("a command has no range test")
