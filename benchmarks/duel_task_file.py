"""Tasks of a duel, from a file or from the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from duel_training import TOGETHER
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lrsearch import LrsearchError
from lrsearch.user_input import first_error, read_yaml


class TaskFileError(LrsearchError):
    """The file is none of a duel's tasks."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    task: str = Field(pattern=r"\.py:\w+$")
    epochs: int = Field(ge=1)
    together: int = Field(default=TOGETHER, ge=1)


@dataclass(frozen=True, kw_only=True)
class DuelTask:
    name: str
    #: FILE.py:attribute, as a study file has it.
    reference: str
    #: Horizon of a trial.
    epochs: int
    #: How many runs of judges, and of tuners that stand beside ours, are trained as one program.
    together: int = TOGETHER


def read_tasks(path: Path) -> list[DuelTask]:
    """The tasks of a YAML file `NAME: {task: FILE.py:ATTRIBUTE, epochs: N, together: K}`.

    Files are named from the folder of this one. Raises SpecError where it is no mapping,
    TaskFileError for anything else in it.
    """
    return [_task(path, name, fields) for name, fields in read_yaml(path, "file of tasks").items()]


def _task(path: Path, name: str, fields: object) -> DuelTask:
    if not isinstance(fields, Mapping):
        raise TaskFileError(
            f"{path}: {name} = {fields!r}, but {{task: FILE.py:ATTRIBUTE, epochs: N}} is needed"
        )
    try:
        entry = _Entry.model_validate(fields)
    except ValidationError as error:
        what = first_error(error, _Entry, "a duel's task")
        raise TaskFileError(f"{path}: {name}: {what}") from error
    return DuelTask(
        name=name,
        reference=str(path.parent / entry.task),
        epochs=entry.epochs,
        together=entry.together,
    )
