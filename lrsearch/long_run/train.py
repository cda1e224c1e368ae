"""A long run from what is asked for to what came of it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.errors import SpecError, StudyError
from lrsearch.export.changed import horizon_note
from lrsearch.long_run import model_file
from lrsearch.long_run.model_file import ModelFiles
from lrsearch.long_run.wanted import Chosen, Wanted, chosen_recipe, long_run_spec, without_own
from lrsearch.plain_data import Document
from lrsearch.report.model import Report
from lrsearch.report.rows import Trial
from lrsearch.run_study import Progress, finish
from lrsearch.spec.shipped_studies import folders
from lrsearch.storage import studies
from lrsearch.study.create import create_study
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.stored_study import StoredStudy
from lrsearch.task.task import LoadedTask
from lrsearch.trial.states import TrialState
from lrsearch.worker.find_program import find_code
from lrsearch.worker.resources import Resources

if TYPE_CHECKING:
    from lrsearch.training.kept_weights import KeptWeights


@dataclass(frozen=True, kw_only=True)
class LongRun:
    """A long run that is in the database."""

    study: OpenStudy
    #: False when it goes on, or has ended before.
    is_new: bool
    recipe: Chosen
    #: What is known of its lr at this horizon; None where the recipe was searched with it.
    note: str | None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of a long run."""

    run: LongRun
    report: Report
    #: Where the report is; None if none was asked for.
    folder: Path | None
    #: Of training; 0 if it had ended before.
    wall_seconds: float

    @property
    def trial(self) -> Trial | None:
        """The run as a trial; None where it never began."""
        return next(iter(self.report.trials), None)

    def complete(self) -> Trial:
        """The run, trained to its end. Raises StudyError where it is not, with its reason."""
        trial, name = self.trial, self.report.name
        if trial is not None and trial.state == TrialState.COMPLETE:
            return trial
        state = "has not begun" if trial is None else f"is {trial.state}"
        reason = f" ({trial.reason})" if trial is not None and trial.reason else ""
        raise StudyError(
            f"the run {name!r} {state}{reason}; `lrsearch study delete {name} --yes`, then the "
            f"same command, begins it anew"
        )

    def weights(self) -> "KeptWeights":
        """The weights that its value is of. Raises StudyError where they are not here."""
        return model_file.kept_weights(self.run.study, self.complete())

    def save(self, path: Path) -> ModelFiles:
        """Write the weights and the recipe. Raises StudyError where they cannot be had."""
        return model_file.save_model(self.run.study, self.complete(), self.weights(), path)


def check_save(source: StoredStudy, path: Path | None, option: str = "--save") -> None:
    """Raises SpecError, before anything is trained, where no weights could be saved there."""
    if path is None:
        return
    if source.spec.program == "command":
        raise SpecError(
            f"{option} {path}: study {source.name!r} trains a command, whose weights lrsearch does "
            f"not see; let it save them into {{dir}}, the run's folder, and leave {option} out"
        )
    model_file.check_place(path, option)


def begin(
    source: StoredStudy,
    wanted: Wanted,
    *,
    recipe: Chosen | None = None,
    task_dir: Path | None = None,
    live: LoadedTask | None = None,
) -> LongRun:
    """Put a long run into the database of its source study, or find it there.

    `recipe` is what to train where that is chosen already; `live` is the study's task where that
    is an object of this process. Raises StudyError where another study has its name, and as
    `chosen_recipe`, `long_run_spec` and `find_code`.
    """
    if source.spec.is_live and live is None:
        name = source.name
        raise StudyError(
            f"study {name!r} trains a Task object of a Python process; train it there: "
            f"lrsearch.open_study({name!r}, task=...).train(...)"
        )
    recipe = recipe or chosen_recipe(source, wanted.recipe)
    spec = long_run_spec(source.spec, recipe, wanted)
    begun = _begun(source, spec.name)
    if begun is not None and begun != spec.enqueue[0]:
        recipe = _as_begun(recipe, begun, wanted, spec.name)
        spec = long_run_spec(source.spec, recipe, wanted)
    study, is_new = create_study(
        source.database,
        spec,
        live or find_code(source, folders(task_dir)),
        steps_per_epoch=source.steps_per_epoch,
        resume=source.record.resume,
        exist_ok=True,
    )
    return LongRun(study=study, is_new=is_new, recipe=recipe, note=_note(study, recipe))


def _begun(source: StoredStudy, name: str) -> Document | None:
    """The recipe of the run of this name; None where there is none."""
    with source.database.read() as connection:
        row = studies.by_name(connection, name)
    recipes = () if row is None else StoredStudy(source.database, row).spec.enqueue
    return recipes[0] if recipes else None


def _as_begun(recipe: Chosen, begun: Document, wanted: Wanted, name: str) -> Chosen:
    """The recipe that a run has begun with, which stays though the study recommends another now.

    Raises StudyError where another one was asked for by name.
    """
    if wanted.recipe is not None:
        raise StudyError(
            f"the run {name!r} is there already and trains another recipe than {recipe.title}; "
            f"give this run a --name of its own"
        )
    title = f"the recipe that this run began with; the study recommends {recipe.title} by now"
    return replace(recipe, fields=without_own(begun), title=title, where=f"study {name!r}")


def _note(study: OpenStudy, recipe: Chosen) -> str | None:
    horizon = study.spec.horizon_epochs(study.steps_per_epoch)
    if recipe.searched is None or recipe.searched == horizon:
        return None
    return horizon_note(recipe.searched, horizon)


def train(
    run: LongRun,
    resources: Resources,
    *,
    task_dir: Path | None = None,
    live: LoadedTask | None = None,
    report_to: Path | None,
    progress: Progress,
) -> Trained:
    """Train it to its end, from its last checkpoint on, and report.

    Raises as `run_study.run_study`.
    """
    done = finish(
        run.study, resources, task_dir=task_dir, live=live, report_to=report_to, progress=progress
    )
    return Trained(run=run, report=done.report, folder=done.folder, wall_seconds=done.wall_seconds)
