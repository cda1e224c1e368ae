"""The error tree. Whatever a user can mend is an `LrsearchError`; the CLI prints it as one line.

LrsearchError
├── SpecError       a study file, space or recipe is wrong
├── TaskError       a task cannot be found, built, or trained as it stands
├── StudyError      a study is unknown, exists with another spec, or does not allow what was asked
├── StorageError    the database cannot be reached, is none, or has another schema
└── DeviceError     the device asked for is not there
"""

import difflib
from collections.abc import Iterable
from pathlib import Path

from lrsearch.plain_data import Unchecked


class LrsearchError(Exception):
    """Something the user can mend; the message says where, what came, what is accepted."""


class SpecError(LrsearchError):
    """A study file, space or recipe is wrong."""


class TaskError(LrsearchError):
    """A task cannot be found, built, or trained as it stands."""


class StudyError(LrsearchError):
    """A study is unknown, exists with another spec, or does not allow what was asked."""


class StorageError(LrsearchError):
    """The database cannot be reached, is none, or has another schema."""


class DeviceError(LrsearchError):
    """The device asked for is not there."""


class TaskWarning(UserWarning):
    """A task trains, but hardly as it was meant."""


def near_miss(name: Unchecked, known: Iterable[str]) -> str:
    """`; did you mean 'adamw'?` when one of `known` is close to `name`, else the names on offer."""
    names = {word.lower(): word for word in sorted(known)}
    close = difflib.get_close_matches(name.lower(), names, n=1) if isinstance(name, str) else []
    if close:
        return f"; did you mean {names[close[0]]!r}?"
    return f"; accepted: {', '.join(names.values())}"


def describe(error: BaseException) -> str:
    """`ValueError: message` on one line; of a missing relative path also where it was sought."""
    text = " ".join(str(error).split())
    if isinstance(error, FileNotFoundError) and isinstance(error.filename, str | Path):
        path = Path(error.filename)
        if not path.is_absolute():
            text += f" in the current folder; write Path(__file__).parent / {str(path)!r}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
