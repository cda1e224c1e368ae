"""The main use case, once: create or continue a study, train it, confirm, report.

`lrsearch run`, `study create`, `confirm` and `lrsearch.search` are calls of these functions. What
they tell meanwhile goes to a `Progress`.
"""

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lrsearch.advice.cost import CostPlan, cost_plan
from lrsearch.fusing import fuse_option
from lrsearch.preflight.checked import Checked
from lrsearch.report.files import write_files
from lrsearch.report.live.shown import shown
from lrsearch.report.load import report_of
from lrsearch.report.model import Report
from lrsearch.spec.shipped_studies import folders
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage.database import Database
from lrsearch.study import confirmation
from lrsearch.study.checkpoint_cleanup import move_folders, sweep_closed
from lrsearch.study.create import create_study
from lrsearch.study.create_ladder import make_ladder
from lrsearch.study.extend import extend_study
from lrsearch.study.extend_transaction import Extension
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.prepare_database import open_database
from lrsearch.study.status import is_finished, reap
from lrsearch.study.stored_study import StoredStudy
from lrsearch.study.versions import check_versions
from lrsearch.task.task import LoadedTask
from lrsearch.worker.local_workers import run_local
from lrsearch.worker.resources import Resources

if TYPE_CHECKING:
    from lrsearch.report.page.renderers import Renderers


@dataclass(frozen=True, kw_only=True)
class Created:
    """A study that is in the database."""

    study: OpenStudy
    #: False when it was there before with the same definition.
    is_new: bool
    #: What it costs at most.
    plan: CostPlan


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a study has come to."""

    study: OpenStudy
    report: Report
    #: Where the report is; None if none was asked for.
    folder: Path | None
    #: Of training, from the first worker's start on; 0 if the study was finished before.
    wall_seconds: float


class Progress(Protocol):
    """Who is told how far a study is."""

    def opened(self, database: Database) -> None:
        """The database can be used."""

    def created(self, created: Created) -> None:
        """The study is in the database; its training begins next."""

    def training(self, study: OpenStudy) -> AbstractContextManager[None]:
        """Held for as long as the study is worked on."""


class Silent:
    """A `Progress` that tells nobody."""

    def opened(self, database: Database) -> None:
        pass

    def created(self, created: Created) -> None:
        pass

    def training(self, study: OpenStudy) -> AbstractContextManager[None]:
        return nullcontext()


class ProgressBar(Silent):
    """A `Progress` that draws on stderr while the study trains, where that is a terminal."""

    def training(self, study: OpenStudy) -> AbstractContextManager[None]:
        return shown(study)


def create(checked: Checked, storage: str | None, *, exist_ok: bool, progress: Progress) -> Created:
    """Put a study into the database, or find it there with the same definition.

    Raises StudyError for another study of this name, StorageError.
    """
    database = open_database(storage, create=True)
    progress.opened(database)
    study, is_new = create_study(
        database,
        checked.spec,
        checked.loaded,
        steps_per_epoch=checked.steps_per_epoch,
        batch_size=checked.batch_size,
        resume=checked.resume,
        exist_ok=exist_ok,
    )
    plan = cost_plan(checked.spec, checked.steps_per_epoch)
    created = Created(study=study, is_new=is_new, plan=plan)
    progress.created(created)
    return created


def run_study(
    checked: Checked,
    storage: str | None,
    resources: Resources,
    *,
    report_to: Path | None,
    renderers: "Renderers | None" = None,
    progress: Progress,
) -> Outcome:
    """Create or continue a study, train it until its budget is used, confirm, and report.

    `report_to` is the folder of the report, whose figures `renderers` render, else this process.
    Raises LrsearchError for what the caller can mend, and KeyboardInterrupt after the workers have
    ended in order; the same call then goes on.
    """
    fuse_option.check(checked.spec, resources.fuse)
    created = create(checked, storage, exist_ok=True, progress=progress)
    live = checked.loaded if isinstance(checked.loaded, LoadedTask) else None
    live = live if checked.folder is None else None
    return finish(
        created.study,
        resources,
        task_dir=checked.folder,
        live=live,
        report_to=report_to,
        renderers=renderers,
        progress=progress,
    )


def finish(
    study: OpenStudy,
    resources: Resources,
    *,
    task_dir: Path | None,
    live: LoadedTask | None = None,
    report_to: Path | None,
    renderers: "Renderers | None" = None,
    progress: Progress,
) -> Outcome:
    """Train a study that is in the database until its budget is used, and report.

    `live` is its task where that is an object of this process, which then trains. Raises as
    `run_study`.
    """
    seconds = _train(study, task_dir, resources, progress, live=live)
    if report_to is None:
        report, folder = report_of(study), None
    else:
        report, folder = write_files(study, report_to, renderers=renderers)
    return Outcome(study=study, report=report, folder=folder, wall_seconds=seconds)


def extend(study: OpenStudy, checked: Checked) -> Extension:
    """Give a study another space and budget, and keep its trials.

    Raises StudyError where they differ in more, with the differences.
    """
    reap(study)
    done = extend_study(
        study, checked.spec, checked.loaded, steps_per_epoch=checked.steps_per_epoch
    )
    sweep_closed(study)
    if done.old not in (None, study.name):
        move_folders(study.name, str(done.old))
    return done


def confirm(
    study: OpenStudy,
    resources: Resources,
    *,
    candidates: int | None,
    runs: int | None,
    task_dir: Path | None,
    live: LoadedTask | None = None,
    progress: Progress,
    where: str = "--runs",
) -> Report:
    """Confirm a study again with so many candidates and runs; what it is afterwards.

    `live` is its task where that is an object of this process, which then trains. Raises StudyError
    when nothing can be confirmed or the runs, given as `where` says, are more than its share.
    """
    fuse_option.check(study.spec, resources.fuse)
    confirmation.request(study, top=candidates, runs=runs, where=where)
    _train(study, task_dir, resources, progress, live=live)
    return report_of(study)


def climb(
    source: StoredStudy,
    spec: StudySpec,
    resources: Resources,
    *,
    task_dir: Path | None,
    live: LoadedTask | None = None,
    progress: Progress,
) -> OpenStudy:
    """Train the ladder that `spec` defines, of a recipe of `source`; it goes on where it stopped.

    Raises StudyError where another study has its name, TaskError where the long runs cannot have
    the batch that is asked for, and as `run_study` does.
    """
    fuse_option.check(spec, resources.fuse)
    if spec.ladder is not None and spec.ladder.batch_size is not None:
        from lrsearch.training.start import check_batch_size
        from lrsearch.worker.find_program import find_code

        loaded = live or find_code(source, folders(task_dir))
        assert isinstance(loaded, LoadedTask)
        check_batch_size(loaded, spec.ladder.recipe, spec.ladder.batch_size)
    study = make_ladder(source, spec)
    _train(study, task_dir, resources, progress, live=live)
    return study


def _train(
    study: OpenStudy,
    task_dir: Path | None,
    resources: Resources,
    progress: Progress,
    *,
    live: LoadedTask | None = None,
) -> float:
    """Work on a study until it is finished; the seconds that took, 0 if it was before."""
    check_versions(study.name, study.versions)
    reap(study)
    if is_finished(study):
        return 0.0
    started = time.monotonic()
    with progress.training(study):
        if live is not None:
            from lrsearch.worker.this_process import work_here

            work_here(
                study,
                live,
                device=resources.device,
                fuse=resources.fuse,
                compile=resources.compile,
            )
        else:
            run_local(
                study,
                task_dir,
                workers=resources.workers,
                device=resources.device,
                fuse=resources.fuse,
                compile=resources.compile,
                forks=resources.forks,
            )
    return time.monotonic() - started
