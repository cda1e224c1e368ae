"""`lrsearch.search`: the main job as one Python call."""

import secrets
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from lrsearch.api.result import Result
from lrsearch.api.study_fields import StudyFields
from lrsearch.api.temporary_place import TemporaryPlace
from lrsearch.api.training import LIVE, Training, live_task
from lrsearch.errors import SpecError, TaskWarning
from lrsearch.preflight import Checked, check_study
from lrsearch.run_study import ProgressBar, run_study
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage.database import locate
from lrsearch.task import own_code
from lrsearch.task.find import load_task
from lrsearch.task.task import Task
from lrsearch.worker.resources import Resources
from lrsearch.worker.this_process import own_random_stream

#: What a call trains that says neither a budget nor a horizon.
TRIALS, EPOCHS = 60, 30


def search(
    task: Task | str | StudySpec,
    *,
    trials: int | None = None,
    task_dir: str | Path = ".",
    storage: str | None = None,
    workers: int | None = None,
    devices: str = "auto",
    fuse: int | str = "auto",
    **fields: Unpack[StudyFields],
) -> Result:
    """Search, confirm, and return what was found.

    `task` is a `Task` object, which this process trains on one device; or `"task.py:task"`, a file
    in `task_dir`, which worker processes train on all devices; or a `StudySpec`, which says
    everything. `fields` are those of a study file, by their names there; `trials` is short for
    `budget={"trials": ...}`. Defaults: 60 trials of 30 epochs.

    With a `name` the study stays in the database, and the same call goes on with it. Without one,
    and where neither `storage`, LRSEARCH_STORAGE nor an lrsearch.toml names a database, nothing is
    left in the current folder: the database and the checkpoints are in a temporary folder, which
    lives as long as the result and what its `confirm` returned, at most until this process ends.

    `storage` is a database's URL, `sqlite:///FILE` or `postgresql://USER@HOST/DATABASE`. `fuse` is
    how many trials train at once as one program: a number, `"off"`, or `"auto"`, as many as are
    measured to be quickest.

    What trains, but hardly as it was meant, is told as a `TaskWarning`. Raises LrsearchError for
    what the caller can mend.
    """
    resources = Resources.parse(workers=workers, device=devices, fuse=fuse)
    folder = Path(task_dir)
    own_code.load(own_code.own_names(fields), folder, where="search(): ")
    spec = _spec(task, trials, fields)
    live = None
    if isinstance(task, Task):
        _check_live(workers)
        live = live_task(task, spec.own_names(), folder)
    loaded = live or load_task(spec.task, folder, spec.own_names())
    with own_random_stream():
        checked = check_study(
            spec, loaded, folder=None if live is not None else folder, device=devices
        )
    for warning in checked.warnings:
        warnings.warn(warning, TaskWarning, stacklevel=2)
    is_named = isinstance(task, StudySpec) or fields.get("name")
    place = None
    if not is_named and storage is None and locate(None).is_default:
        place = TemporaryPlace()
        storage, checked = place.storage, _with_checkpoints(checked, place)
    with _kept_if_interrupted(place, checked.spec.name):
        outcome = run_study(checked, storage, resources, report_to=None, progress=ProgressBar())
    training = Training(resources=resources, folder=folder, live=live)
    return Result(outcome.study, outcome.report, training, place=place)


def _with_checkpoints(checked: Checked, place: TemporaryPlace) -> Checked:
    """The same study with its checkpoints in a temporary folder, unless it says where."""
    if checked.spec.checkpoints.to is not None:
        return checked
    checkpoints = checked.spec.checkpoints.model_copy(update={"to": place.checkpoints})
    return replace(checked, spec=checked.spec.model_copy(update={"checkpoints": checkpoints}))


@contextmanager
def _kept_if_interrupted(place: TemporaryPlace | None, name: str) -> Iterator[None]:
    """What was trained before an error, or Ctrl-C, can be read until this process ends."""
    try:
        yield
    except BaseException as error:
        if place is not None and place.database.exists():
            place.keep()
            error.add_note(
                f"search(): what was trained so far is kept until this process ends: "
                f"lrsearch.open_study({name!r}, storage={place.storage!r}); with a name=, the same "
                f"call would go on"
            )
        raise


def _check_live(workers: int | None) -> None:
    """Raises SpecError for worker processes, which cannot have an object of this process."""
    if workers is not None and workers > 1:
        raise SpecError(
            f"search(): workers = {workers} beside a Task object, which this process trains by "
            f"itself; give the task as 'FILE.py:attribute' for worker processes"
        )


def _spec(task: Task | str | StudySpec, trials: int | None, fields: StudyFields) -> StudySpec:
    """The study that the arguments of `search` describe. Raises SpecError."""
    if isinstance(task, StudySpec):
        if given := [*fields, *(["trials"] if trials is not None else [])]:
            raise SpecError(
                f"search(): {', '.join(given)} beside a StudySpec, which says everything; give "
                f"the fields alone, or change the StudySpec"
            )
        return task
    content: dict[str, Any] = {
        "task": task if isinstance(task, str) else LIVE,
        **({} if "steps" in fields else {"epochs": EPOCHS}),
        "budget": {"trials": TRIALS},
        **fields,
        "name": fields.get("name") or f"search-{secrets.token_hex(4)}",
    }
    if trials is not None:
        budget = fields.get("budget", {})
        if not isinstance(budget, Mapping):
            raise SpecError(
                f"search(): budget = {budget!r}: a mapping, as {{'runs': 20}}, is needed"
            )
        content["budget"] = {**budget, "trials": trials}
    return StudySpec.from_dict(content, where="search()")
