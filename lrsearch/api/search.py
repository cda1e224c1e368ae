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
from lrsearch.api.train_function import train_reference
from lrsearch.api.training import LIVE, Training, live_task
from lrsearch.errors import SpecError, TaskWarning
from lrsearch.plain_data import Document, Fields, Unchecked
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
    task: Task | str | StudySpec | None = None,
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
    everything. In its place `train="train.py:train"` or `command=[...]` name a script. `fields` are
    those of a study file, by their names there; `trials` is short for `budget={"trials": ...}`.
    Defaults: 60 trials of 30 epochs.

    With a `name` the study stays in the database of `storage`, and the same call goes on with it.
    Without both, it is in a temporary folder that lives as long as the result, unless
    LRSEARCH_STORAGE or an lrsearch.toml names a database.

    `fuse` is how many trials train at once as one program: a number, `"off"`, or `"auto"`, as many
    as are measured to be quickest. A task that trains, but hardly as it was meant, is a
    `TaskWarning`. Raises LrsearchError for what the caller can mend.
    """
    resources = Resources.parse(workers=workers, device=devices, fuse=fuse)
    own_code.load(own_code.own_names(fields), Path(task_dir), where="search(): ")
    spec = _spec(task, trials, fields, Path(task_dir))
    training = _training(task, spec, Path(task_dir), resources)
    checked = _checked(spec, training)
    for warning in checked.warnings:
        warnings.warn(warning, TaskWarning, stacklevel=2)
    is_named = isinstance(task, StudySpec) or fields.get("name") or storage is not None
    place = None if is_named or not locate(None).is_default else TemporaryPlace()
    return _found(checked, storage, training, place)


def _training(
    task: Task | str | StudySpec | None, spec: StudySpec, folder: Path, resources: Resources
) -> Training:
    """Raises SpecError for worker processes, which cannot have an object of this process."""
    if not isinstance(task, Task):
        return Training(resources=resources, folder=folder)
    if resources.workers is not None and resources.workers > 1:
        raise SpecError(
            f"search(): workers = {resources.workers} beside a Task object, which this process "
            f"trains by itself; give the task as 'FILE.py:attribute' for worker processes"
        )
    live = live_task(task, spec.own_names(), folder)
    return Training(resources=resources, folder=folder, live=live)


def _checked(spec: StudySpec, training: Training) -> Checked:
    """The study, whose task has trained one batch. Raises SpecError, TaskError, DeviceError."""
    loaded = training.live or load_task(spec.task, training.folder, spec.own_names())
    folder = training.folder if training.live is None else None
    with own_random_stream():
        return check_study(spec, loaded, folder=folder, device=training.resources.device)


def _found(
    checked: Checked, storage: str | None, training: Training, place: TemporaryPlace | None
) -> Result:
    """Train the study in the database of `storage`, or in the temporary place."""
    if place is not None:
        storage, checked = place.storage, _with_checkpoints(checked, place)
    with _kept_if_interrupted(place, checked.spec.name):
        outcome = run_study(
            checked, storage, training.resources, report_to=None, progress=ProgressBar()
        )
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


def _spec(
    task: Task | str | StudySpec | None, trials: int | None, fields: StudyFields, folder: Path
) -> StudySpec:
    """The study that the arguments of `search` describe. Raises SpecError."""
    if isinstance(task, StudySpec):
        if given := [*fields, *(["trials"] if trials is not None else [])]:
            raise SpecError(
                f"search(): {', '.join(given)} beside a StudySpec, which says everything; give "
                f"the fields alone, or change the StudySpec"
            )
        return task
    content: dict[str, Any] = {
        **_program(task, fields, folder),
        "budget": {"trials": TRIALS},
        **{name: value for name, value in fields.items() if name != "train"},
        "name": fields.get("name") or f"search-{secrets.token_hex(4)}",
    }
    if not fields.keys() & {"epochs", "steps", "command"}:
        content["epochs"] = EPOCHS
    if trials is not None:
        content["budget"] = {**_budget(fields), "trials": trials}
    return StudySpec.from_dict(content, where="search()")


def _budget(fields: StudyFields) -> Fields:
    """What was given of the budget beside `trials`. Raises SpecError."""
    budget = fields.get("budget", {})
    if not isinstance(budget, Mapping):
        raise SpecError(f"search(): budget = {budget!r}: a mapping, as {{'runs': 20}}, is needed")
    return budget


def _program(task: Unchecked | Task, fields: StudyFields, folder: Path) -> Document:
    """What the study trains, but a command. Raises SpecError for what is neither."""
    content: Document = {}
    if (train := fields.get("train")) is not None:
        content["train"] = train_reference(train, folder)
    if task is None:
        return content
    if isinstance(task, Task | str):
        return {**content, "task": task if isinstance(task, str) else LIVE}
    accepted = "a Task, 'FILE.py:attribute' or a StudySpec is accepted"
    name = getattr(task, "__name__", type(task).__name__)
    if callable(task):
        raise SpecError(f"search(): task = {name}, a function; {accepted}, such as {name}()")
    raise SpecError(f"search(): task is a {name}; {accepted}")
