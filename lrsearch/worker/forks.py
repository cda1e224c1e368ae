"""Worker processes that are forked from one which imports what they need while a study is checked.

A worker's imports (PyTorch, Optuna, what the task's file imports) take longer than anything else
before its first step. They are made once, beside the parent's own, and not once for each worker.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lrsearch.child_process.closing import Closing
from lrsearch.child_process.fork_server import Forked, ForkServer, NotForkedError
from lrsearch.child_process.linux import LINUX
from lrsearch.child_process.warm import FIRST_USES, warm_modules
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.find import source_of

#: Names the parent to its workers: they end when it does.
PARENT = "LRSEARCH_PARENT"
#: Tells workers how many were started together: they share what may train at once.
STARTED_TOGETHER = "LRSEARCH_STARTED_TOGETHER"
#: What a worker calls.
ENTRY = "lrsearch.cli.worker:be_a_worker"
#: What a worker imports, whatever it trains.
MODULES = (
    *FIRST_USES,
    "lrsearch.cli.main",
    "lrsearch.study.open_study",
    "lrsearch.worker.processes",
    "lrsearch.worker.find_program",
)


def worker_environment() -> dict[str, str]:
    """This process's own, with one thread for a worker's operations unless it says otherwise."""
    return {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


class WorkerForks(Closing):
    """Where the workers of one command are forked; a context manager that ends the server."""

    def __init__(self) -> None:
        self._server: ForkServer | None = None
        #: This process's at the beginning: what the task's code sets here, it sets in workers too.
        self._environment: dict[str, str] = {}

    def begin(self, spec: StudySpec, folder: Path) -> None:
        """Let a process import what workers of the study in this folder need.

        Nothing is begun where forks are not safe: anywhere but on Linux.
        """
        if LINUX and self._server is None:
            self._environment = worker_environment()
            self._server = ForkServer([*MODULES, *_of_task(spec, folder)], self._environment)

    def fork(self, words: Sequence[str], *, env: Mapping[str, str], errors: int) -> Forked:
        """`lrsearch WORDS` in a fork, its standard error being this file.

        `env` are variables beside those of this process at the beginning, when the server, whose
        end ends the worker, got them. Raises NotForkedError where a new interpreter is needed.
        """
        if self._server is None:
            raise NotForkedError("no process was begun that could be forked")
        parent = {PARENT: str(self._server.pid)}
        environment = {**self._environment, **env, **parent}
        return self._server.fork(ENTRY, words, env=environment, errors=errors)

    def close(self) -> None:
        """End the server, if there is one."""
        if self._server is not None:
            self._server.close()


def _of_task(spec: StudySpec, folder: Path) -> list[str]:
    """Libraries that the task's file imports; a file that is not there is named by who needs it."""
    place = None if spec.task is None else spec.task.rpartition(":")[0]
    if place is None or not place.endswith(".py"):
        return []
    found = source_of(place, folder)
    return [] if found is None else warm_modules(found[0])
