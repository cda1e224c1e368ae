"""What a freshly forked process does to become the child that was asked for."""

import contextlib
import importlib
import io
import os
import signal
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TextIO

from lrsearch.child_process.linux import die_with
from lrsearch.child_process.protocol import Request
from lrsearch.child_process.signals import defaults
from lrsearch.child_process.warm import set_by_imports
from lrsearch.private_files import private

#: What a new interpreter runs to call an entry; it looks for modules where the worker does.
NEW_INTERPRETER = """\
import sys
sys.path += [path for path in {paths!r} if path not in sys.path]
from lrsearch.child_process.become import call
call(sys.argv[1], sys.argv[2:])
"""


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a forked child goes on to do, once the frames of its parents' work are left."""

    entry: str
    argv: Sequence[str]


def become(request: Request, *, parent: int, fresh: bool) -> Call:
    """Take over the request's session, folder, environment and output; then run its program.

    Returns for an entry that is called in this process, which `fresh` rules out. Raises OSError,
    its filename set, for a folder, output or program that cannot be used.
    """
    os.setsid()
    die_with(parent, signal.SIGKILL)
    _redirect(request.output)
    os.chdir(request.cwd)
    if request.entry is None:
        _run_program(request.argv, request.env)
    if fresh:
        code = NEW_INTERPRETER.format(paths=sys.path)
        _run_program([sys.executable, "-c", code, request.entry, *request.argv], request.env)
    as_a_new_interpreter(request)
    return Call(entry=request.entry, argv=request.argv)


def _redirect(output: str) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    log = private(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(log, standard)
    os.close(log)


def _run_program(argv: list[str], env: dict[str, str]) -> NoReturn:
    defaults(python=False)
    # Descriptors that a library opened without the flag that closes them in a new program.
    for path in Path("/dev/fd").iterdir():
        if int(path.name) > 2:
            with contextlib.suppress(OSError):  # the one that listed them is closed by now
                os.set_inheritable(int(path.name), False)
    try:
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        error.filename = argv[0]
        raise


def as_a_new_interpreter(request: Request) -> None:
    """What an interpreter sets when it starts, and numpy when it is imported."""
    defaults(python=True)
    env = {**set_by_imports(), **request.env}
    os.environ.clear()
    os.environ.update(env)
    path = request.env.get("PYTHONPATH", "")
    first = [request.cwd, *(part for part in path.split(os.pathsep) if part)]
    sys.path[:] = list(dict.fromkeys([*first, *sys.path]))
    sys.argv = [request.entry or "", *request.argv]
    sys.modules["__main__"] = types.ModuleType("__main__")
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        numpy_random.seed()  # else every child would have the state of the warm process


def call(entry: str, argv: Sequence[str]) -> NoReturn:
    """Call `package.module:function` with `argv`; what it returns is the exit status.

    Its output is written line by line.
    """
    sys.stdout, sys.stderr = (_as_asked(stream) for stream in (sys.stdout, sys.stderr))
    module, _, name = entry.partition(":")
    sys.exit(getattr(importlib.import_module(module), name)(argv))


def _as_asked(stream: TextIO) -> TextIO:
    """Line by line; every piece at once where PYTHONUNBUFFERED asks for that."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    if not os.environ.get("PYTHONUNBUFFERED"):
        stream.reconfigure(line_buffering=True)
        return stream
    raw = io.FileIO(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(raw, stream.encoding, stream.errors, write_through=True)
