"""The process that runs a user's script for one trial: `python -m lrsearch.own_loop.child SCRIPT`.

SCRIPT is `FILE.py:function`, `package.module:function`, or `FILE.py`, a script that is run whole.
The script's own arguments follow it.
"""

import importlib.util
import inspect
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import torch

from lrsearch.errors import LrsearchError, TaskError, describe, near_miss
from lrsearch.own_loop.ended import Ended
from lrsearch.own_loop.frames import is_users_file
from lrsearch.own_loop.line import Ranks
from lrsearch.own_loop.loop import Loop
from lrsearch.own_loop.messages import Failed
from lrsearch.own_loop.run import Run, run
from lrsearch.own_loop.session import Session
from lrsearch.plain_data import Fields
from lrsearch.recipe.recipe import Recipe
from lrsearch.task import own_code
from lrsearch.task.code import ENVIRONMENT_DIR
from lrsearch.training.failures import out_of_memory
from lrsearch.training.heap import prepare_heap
from lrsearch.training.randomness import seed_host


def main(argv: Sequence[str]) -> int:
    """Run a script, with its own arguments, for the worker whose socket the environment names.

    `argv` is the script as a study names it, then its arguments. The environment names the study
    file's folder too, in which the script is.

    The exit status: 0 where the script came to its end or the run was ended, else 1.
    """
    reference, *arguments = argv
    folder = Path(os.environ.get(ENVIRONMENT_DIR, ".")).resolve()
    ranks = Ranks()
    line, start = ranks.connect()
    own_code.load(own_code.own_names(start.recipe), folder)
    session = Session(start, Recipe.from_dict(start.recipe), line, ranks)
    loop = run.bind(session)
    torch.set_num_threads(start.threads)
    prepare_heap()
    torch.manual_seed(session.seed)
    seed_host(session.seed)
    _end_on_sigterm(session)
    return _watched(lambda: execute(reference, folder, run, arguments), loop, folder)


def _end_on_sigterm(session: Session) -> None:
    """Let SIGTERM end the run as a worker's answer does, so that `finally` blocks run."""

    def end(number: int, frame: FrameType | None) -> None:
        if session.is_here:
            session.close("stopped")
        signal.signal(number, signal.SIG_DFL)  # a process that the script forked
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)


def _watched(execute: Callable[[], None], loop: Loop, folder: Path) -> int:
    """Run a script to its end, and tell the worker how it ended."""
    session = loop.session
    try:
        try:
            execute()
        except SystemExit as error:
            if error.code not in (None, 0):
                raise TaskError(f"the script ended with status {error.code}") from error
        if session.is_here and session.reason is None:
            loop.finish()
    except Ended:
        pass
    except BaseException as error:
        if session.is_here:
            _tell_failure(error, loop, folder)
        return 1
    return 0


def _tell_failure(error: BaseException, loop: Loop, folder: Path) -> None:
    traceback.print_exception(error)
    if loop.session.reason is None:
        reason = "oom" if out_of_memory(error) else _in_one_line(error, folder)
        step, seconds = loop.step, loop.progress.seconds
        loop.session.say(Failed(error=reason, step=step, seconds=seconds))


def _in_one_line(error: BaseException, folder: Path) -> str:
    """`ValueError: message (train.py:41)`: the last line of the user's own that was running."""
    text = str(error) if isinstance(error, LrsearchError) else describe(error)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if is_users_file(f.filename)]
    beside = [f for f in frames if Path(f.filename).resolve().is_relative_to(folder)]
    own = beside or frames
    return f"{text} ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else text


def execute(reference: str, folder: Path, run: Run, arguments: Sequence[str] = ()) -> None:
    """Run it with these in `sys.argv`. Raises whatever it does, TaskError where it is not there."""
    place, _, name = reference.rpartition(":") if ":" in reference else (reference, "", "")
    if not place.endswith(".py"):
        function = getattr(importlib.import_module(place), name, None)
    else:
        path = folder / place
        if not path.is_file():
            raise TaskError(f"train = {reference!r}: {path} does not exist")
        sys.path.insert(0, str(path.parent))
        if not name:
            sys.argv = [str(path), *arguments]
            runpy.run_path(str(path), run_name="__main__")
            return
        sys.argv = [str(path), *arguments]
        function = _from_file(path, name, reference)
    if not callable(function):
        raise TaskError(f"train = {reference!r} is no function; write `def {name}(run):`")
    function(run, **_taken(function, run.params))


def _from_file(path: Path, name: str, reference: str) -> object:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # what the script pickles names it
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise TaskError(f"train = {reference!r}: no {name!r} in it{near_miss(name, public)}")
    return getattr(module, name)


def _taken(function: Callable[..., object], params: Fields) -> Fields:
    """Those of the recipe's params that the function has arguments for, beside `run`."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return params
    return {p.name: params[p.name] for p in parameters if p.name in params}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
