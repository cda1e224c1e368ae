"""Where in the user's code a call comes from, and which modules that code can see."""

import os
import sys
import sysconfig
from collections.abc import Iterator
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import FrameType

import torch
from torch import nn

_OURS = f"{Path(__file__).parents[1]}{os.sep}"
#: Python's own files, those of installed packages among them.
_INSTALLED = tuple({sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")})
_TORCH = str(Path(torch.__file__).parent)


def is_users_file(file: str) -> bool:
    """Whether a file is the user's code: none of ours, of torch's or of an installed package."""
    return not file.startswith(("<", _OURS, _TORCH, *_INSTALLED))


def users_frames() -> Iterator[FrameType]:
    """The frames of the user's code, the innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if is_users_file(frame.f_code.co_filename):
            yield frame
        frame = frame.f_back


def place() -> str:
    """`train.py:41`: the line of the user's code that is running; empty if none is."""
    frame = next(users_frames(), None)
    return "" if frame is None else f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def variables(frame: FrameType) -> Iterator[tuple[str, object]]:
    """What a frame can see by a name: its variables, those of its `self`, and its file's."""
    here = dict(frame.f_locals)
    if frame.f_code.co_flags & CO_OPTIMIZED and sys.version_info < (3, 13):
        frame.f_locals.clear()  # a copy that the frame would hold, with all tensors in it
    yield from here.items()
    yield from list(getattr(here.get("self"), "__dict__", {}).items())
    yield from list(frame.f_globals.items())


def visible_modules() -> dict[str, nn.Module]:
    """Modules that the user's code can see by a name, the nearest first, each once."""
    found: dict[int, tuple[str, nn.Module]] = {}
    for frame in users_frames():
        for name, value in variables(frame):
            if isinstance(value, nn.Module):
                found.setdefault(id(value), (name, value))
    return dict(reversed(found.values()))
