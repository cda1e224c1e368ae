"""The command line in processes of its own, started quickly: forked from one that has imported
torch and Optuna already. Exit code, output and files are those of a fresh `lrsearch`."""

import atexit
import multiprocessing
import os
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path

import shared_server
import spares
import warm_supervisors

from lrsearch.worker.forks import WorkerForks

#: When a command is taken to hang; also on a machine that has other things to do.
SECONDS = 300

_processes = multiprocessing.get_context("forkserver")
# Where the server's sockets lie: asked for before a test has another folder for temporary files,
# whose path is too long for a socket.
multiprocessing.util.get_temp_dir()
_processes.set_forkserver_preload(
    [
        # torch imports it, which takes 2 s, when the first optimizer is made.
        "torch._dynamo",
        "scipy.stats",
        # What a command imports that makes a database, and what the shipped tasks import.
        "alembic.command",
        "sklearn.datasets",
        "sklearn.model_selection",
        "forked",
    ]
)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int | None
    out: str
    err: str


def run_command(*arguments, folder, seconds=SECONDS, **environment):
    """`lrsearch ARGUMENTS` in `folder`, with these environment variables besides."""
    return _wait_for(_be_lrsearch, arguments, folder, seconds, environment)


def run_alone(*arguments, folder, seconds=SECONDS, **environment):
    """The same of a command that is refused before it starts a worker: none is forked for it."""
    return _wait_for(_be_lrsearch_alone, arguments, folder, seconds, environment)


def run_here(*arguments, folder, seconds=SECONDS, **environment):
    """The same, where `lrsearch run` and its like train in the command's own process: no worker is
    started, which takes 3 s. For tests of what a study gives, not of the processes that work on it.
    """
    return _wait_for(_be_lrsearch_that_works, arguments, folder, seconds, environment)


def run_script(path, *options, folder, seconds=SECONDS):
    """`python PATH OPTIONS` in `folder`."""
    return _wait_for(_be_script, (path, *options), folder, seconds, {})


def run_module(name, *options, folder):
    """`python -m NAME OPTIONS` in `folder`."""
    return _wait_for(_be_module, (name, *options), folder, SECONDS, {})


def _wait_for(program, words, folder, seconds, environment):
    words = [str(word) for word in words]
    output = folder.parent / f"{folder.name}.out", folder.parent / f"{folder.name}.err"
    process = in_process(program, words, folder, output, environment)
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"{' '.join(words)} still ran after {seconds} s")
    out, err = (path.read_text() for path in output)
    return Ended(code=process.exitcode, out=out, err=err)


def in_process(function, *arguments):
    """A process that runs the function, started."""
    shared_server.ensure_running()
    process = _processes.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def no_server(forks):
    """In place of `WorkerForks.start`: a server would import everything anew, for seconds.

    tests/worker/test_forked_workers.py and tests/cli/test_check_in_fork.py have one.
    """


def no_spares(words):
    """Workers that the command starts are new interpreters."""


def _be_lrsearch(words, folder, output, environment, begin=spares.prepare):
    from lrsearch.cli import main as cli_main

    _be(cli_main, ["lrsearch", *words], folder, output, environment, begin)


def _be_lrsearch_alone(words, folder, output, environment):
    _be_lrsearch(words, folder, output, environment, begin=no_spares)


def _be_lrsearch_that_works(words, folder, output, environment):
    from lrsearch import run_study
    from lrsearch.cli import main as cli_main
    from lrsearch.worker.machine import Machine
    from lrsearch.worker.worker_process import work

    def work_here(search, task_dir, *, workers, forks, **how):
        work(search, Machine(task_dir=task_dir, threads=1, **how))

    run_study.run_local = work_here
    _be(cli_main, ["lrsearch", *words], folder, output, environment)


def _be_script(words, folder, output, environment):
    def main():
        sys.path.insert(0, str(Path(words[0]).parent))
        runpy.run_path(words[0], run_name="__main__")

    _be(main, words, folder, output, environment)


def _be_module(words, folder, output, environment):
    def main():
        sys.path.insert(0, str(folder))
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)

    _be(main, words, folder, output, environment)


def _be(main, words, folder, output, environment, begin=no_spares):
    be_on_its_own(output)
    os.chdir(folder)
    os.environ.update(environment)
    sys.argv = words
    warm_supervisors.prepare(2)  # of the check of a study file, and of its first worker
    begin(words)
    code = 0
    try:
        main()
    except SystemExit as ending:
        code = ending.code
    atexit._run_exitfuncs()  # closes databases, as the end of an interpreter does
    sys.exit(code)


def be_on_its_own(output):
    """Be as a process that a shell has started, which prints into these two files."""
    for number, path in enumerate(output, start=1):
        with path.open("w") as file:
            os.dup2(file.fileno(), number)
    # pytest's own capture may have left others here
    sys.stdout, sys.stderr = (os.fdopen(n, "w", closefd=False) for n in (1, 2))
    # A command of a shell may start processes, as a DataLoader does.
    multiprocessing.current_process().daemon = False
    multiprocessing.set_start_method(None, force=True)  # this process's own, not the server's
    WorkerForks.start = no_server


def files_below(folder):
    """Every file below `folder`; a folder that Python caches bytecode in does not count."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in Path(folder).rglob("*")
        if "__pycache__" not in path.parts
    }
