"""A command, which is run for each trial as it is."""

from collections.abc import Callable
from functools import cached_property

from lrsearch.child_process.folders import trial_folder
from lrsearch.child_process.supervisor import Supervisor
from lrsearch.errors import SpecError
from lrsearch.fusing.choice import Choice
from lrsearch.fusing.fuse_option import FuseOption
from lrsearch.plain_data import Fields
from lrsearch.range_test.plan import RampPlan
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import curves
from lrsearch.study.open_study import OpenStudy
from lrsearch.training.failures import TrialFailedError
from lrsearch.training.training import Purpose, Training
from lrsearch.worker.command_training import CommandTraining
from lrsearch.worker.process_engine import ProcessEngine
from lrsearch.worker.program import RangeTrainer

ONE_BY_ONE = "a command trains one trial in each process"


class CommandProgram:
    """See `program.Program`."""

    has_test = False

    def __init__(self, spec: StudySpec, device: str, search: OpenStudy | None = None) -> None:
        """`search` is the study in the database; None before there is one."""
        self.spec, self.device, self.search = spec, device, search
        #: Reports of a whole run; None while that is not known.
        self._reports: int | None = None

    @cached_property
    def supervisor(self) -> Supervisor:
        """Starts and ends the commands."""
        return Supervisor()

    def batch_size(self, params: Fields) -> int | None:
        return None

    def choice(self, search: OpenStudy, fuse: FuseOption, *, started_together: int) -> Choice:
        if isinstance(fuse, int):
            raise SpecError(f"--fuse {fuse}: {ONE_BY_ONE}; leave --fuse out")
        return Choice.solo(ONE_BY_ONE)

    def engine(self, choice: Choice, recipe: Recipe) -> ProcessEngine:
        return self.solo()

    def solo(self) -> ProcessEngine:
        return ProcessEngine(self.training)

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

    def test_scores(self, training: Training, recipe: Recipe) -> dict[str, float]:
        raise NotImplementedError("a command has no test set")

    def close(self) -> None:
        """End the supervisor, and what is left of its commands."""
        if "supervisor" in self.__dict__:
            self.supervisor.close()
