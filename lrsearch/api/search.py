"""`lrsearch.search`: the main job as one Python call."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from lrsearch.api.result import Result
from lrsearch.api.study_fields import StudyFields
from lrsearch.api.temporary_place import TemporaryPlace
from lrsearch.api.wanted import Wanted, wanted_study
from lrsearch.child_process.folders import STUDY_FILE, keep_study_file, study_folder
from lrsearch.errors import TaskWarning
from lrsearch.preflight.checked import Checked
from lrsearch.preflight.program import check_program
from lrsearch.preflight.task import check_study
from lrsearch.run_study import ProgressBar, run_study
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage.location import locate
from lrsearch.task import own_code
from lrsearch.task.find import load_task
from lrsearch.task.task import Task
from lrsearch.user_input import to_yaml
from lrsearch.worker.resources import Resources
from lrsearch.worker.this_process import own_random_stream


def search(
    task: Task | str | StudySpec | None = None,
    *,
    trials: int | None = None,
    task_dir: str | Path = ".",
    storage: str | None = None,
    workers: int | None = None,
    devices: str = "auto",
    fuse: int | str = "auto",
    compile: str = "auto",
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
    as are measured to be quickest. Where that is one at a time, `compile="auto"` compiles its steps
    if that is measured to pay in a long study; `"off"` never does. A task that trains, but hardly
    as it was meant, is a `TaskWarning`. Raises LrsearchError for what the caller can mend.
    """
    resources = Resources.parse(workers=workers, device=devices, fuse=fuse, compile=compile)
    own_code.load(own_code.own_names(fields), Path(task_dir), where="search(): ")
    wanted = wanted_study(task, trials, fields, Path(task_dir), resources)
    checked = _checked(wanted)
    for warning in checked.warnings:
        warnings.warn(warning, TaskWarning, stacklevel=2)
    is_named = isinstance(task, StudySpec) or fields.get("name") or storage is not None
    is_kept = is_named or not locate(None).is_default
    place = None if is_kept else TemporaryPlace(study_folder(checked.spec.name))
    return _found(wanted, checked, storage, place)


def _checked(wanted: Wanted) -> Checked:
    """The study, whose program trains. Raises SpecError, TaskError, DeviceError."""
    spec, folder, live = wanted.spec, wanted.training.folder, wanted.training.live
    device = wanted.training.resources.device
    with own_random_stream():
        if spec.task is None:
            return check_program(spec, folder / STUDY_FILE, device=device)
        loaded = live or load_task(spec.task, folder, spec.own_names())
        return check_study(spec, loaded, folder=None if live else folder, device=device)


def _found(
    wanted: Wanted, checked: Checked, storage: str | None, place: TemporaryPlace | None
) -> Result:
    """Train the study in the database of `storage`, or in the temporary place."""
    training, name = wanted.training, checked.spec.name
    if place is not None:
        storage, checked = place.storage, _with_checkpoints(checked, place)
    with _kept_if_interrupted(place, name):
        if wanted.document is not None:
            keep_study_file(name, to_yaml(wanted.document))
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
