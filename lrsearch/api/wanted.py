"""The study that the arguments of `search` describe, and with what it is trained."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lrsearch.api.study_fields import StudyFields
from lrsearch.api.train_function import train_reference
from lrsearch.api.training import Training, live_task
from lrsearch.child_process.folders import study_folder
from lrsearch.errors import SpecError
from lrsearch.plain_data import Document, Fields, Unchecked
from lrsearch.spec.program import LIVE, UNNAMED
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import Task
from lrsearch.worker.resources import Resources

#: What a call trains that says neither a budget nor a horizon.
TRIALS, EPOCHS = 60, 30


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a call of `search` asks for."""

    spec: StudySpec
    training: Training
    #: The study file of a command, which workers take from a file alone; else None.
    document: Document | None = None


def wanted_study(
    task: Task | str | StudySpec | None,
    trials: int | None,
    fields: StudyFields,
    folder: Path,
    resources: Resources,
) -> Wanted:
    """Raises SpecError."""
    if isinstance(task, StudySpec):
        if given := [*fields, *(["trials"] if trials is not None else [])]:
            raise SpecError(
                f"search(): {', '.join(given)} beside a StudySpec, which says everything; give "
                f"the fields alone, or change the StudySpec"
            )
        return Wanted(spec=task, training=Training(resources=resources, folder=folder))
    document = _document(task, trials, fields, folder)
    spec = StudySpec.from_dict(document, where="search()")
    if spec.program == "command":
        training = Training(resources=resources, folder=study_folder(spec.name).absolute())
        return Wanted(spec=spec, training=training, document=document)
    if not isinstance(task, Task):
        return Wanted(spec=spec, training=Training(resources=resources, folder=folder))
    if resources.workers is not None and resources.workers > 1:
        raise SpecError(
            f"search(): workers = {resources.workers} beside a Task object, which this process "
            f"trains by itself; give the task as 'FILE.py:attribute' for worker processes"
        )
    live = live_task(task, spec.own_names(), folder)
    return Wanted(spec=spec, training=Training(resources=resources, folder=folder, live=live))


def _document(
    task: Task | str | None, trials: int | None, fields: StudyFields, folder: Path
) -> Document:
    """The study as a study file has it. Raises SpecError."""
    content: Document = {
        **_program(task, fields, folder),
        "budget": {"trials": TRIALS},
        **{name: value for name, value in fields.items() if name != "train"},
        "name": fields.get("name") or f"{UNNAMED}{secrets.token_hex(4)}",
    }
    if not fields.keys() & {"epochs", "steps", "command"}:
        content["epochs"] = EPOCHS
    if trials is not None:
        content["budget"] = {**_budget(fields), "trials": trials}
    return content


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
