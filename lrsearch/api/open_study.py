"""`lrsearch.open_study`: the result of a study that is in a database already."""

from pathlib import Path

from lrsearch.api.result import Result
from lrsearch.api.training import Training, live_task
from lrsearch.child_process.folders import STUDY_FILE, study_folder
from lrsearch.errors import SpecError
from lrsearch.report.load import report_of
from lrsearch.study.prepare_database import open_database
from lrsearch.study.stored_study import StoredStudy
from lrsearch.task import own_code
from lrsearch.task.task import Task
from lrsearch.worker.resources import Resources


def open_study(
    name: str,
    *,
    storage: str | None = None,
    task: Task | None = None,
    task_dir: str | Path = ".",
    workers: int | None = None,
    devices: str = "auto",
    fuse: int | str = "auto",
    compile: str = "auto",
) -> Result:
    """What an earlier study has found, as it stands now.

    Any study will do, from `search` with a name or from `lrsearch run`; it may still be running.
    `storage` is as in `search`. The rest is for `Result.confirm` alone, and as in `search`:
    `task_dir` is the folder with the study's files, and `task` the object where the study was
    given one.

    Raises StorageError where the database cannot be opened, StudyError with the nearest name for a
    study that is not there, SpecError for a `task` beside a study that names its own.
    """
    folder = Path(task_dir)
    resources = Resources.parse(workers=workers, device=devices, fuse=fuse, compile=compile)
    study = StoredStudy.open(open_database(storage), name)
    own = study.spec.own_names()
    own_code.load_recorded(own, study.code, [folder, Path("studies")])
    if task is not None and not study.spec.is_live:
        raise SpecError(
            f"open_study(): study {name!r} names its {study.spec.program}, "
            f"{study.spec.reference}; give no task"
        )
    live = None if task is None else live_task(task, own, folder)
    # A command is trained from its study file alone, as `search` or `lrsearch tune` kept it.
    kept = study_folder(name)
    if study.spec.program == "command" and (kept / STUDY_FILE).exists():
        folder = kept.absolute()
    training = Training(resources=resources, folder=folder, live=live)
    return Result(study, report_of(study), training)
