"""Worker processes that are forked from one which imports what they need while a study is checked.

A worker's imports (PyTorch, Optuna, what the task's file imports) take longer than anything else
before its first step. They are made once, and neither for each worker nor by their parent.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from lrsearch.child_process.closing import Closing
from lrsearch.child_process.fork_server import Asked, Forked, ForkServer, NotForkedError
from lrsearch.child_process.linux import LINUX

if TYPE_CHECKING:
    from lrsearch.spec.study_spec import StudySpec

#: Names the parent to its workers: they end when it does.
PARENT = "LRSEARCH_PARENT"
#: Tells workers how many were started together: they share what may train at once.
STARTED_TOGETHER = "LRSEARCH_STARTED_TOGETHER"
#: What a worker calls.
ENTRY = "lrsearch.cli.worker:be_a_worker"
#: What tries a study's task.
TRYING = (
    "lrsearch.preflight.study_file",
    "lrsearch.training.data_parallel.check",
    "lrsearch.training.initial_weights",
    "lrsearch.training.task_groups",
    "lrsearch.training.try_optimizers",
    "lrsearch.training.try_task",
)
#: What a worker imports besides, whatever it trains.
MODULES = (
    "torch._dynamo",
    "lrsearch.cli.main",
    "lrsearch.study.open_study",
    "lrsearch.worker.worker_process",
    "lrsearch.worker.find_program",
)


def worker_environment() -> dict[str, str]:
    """This process's own, with one thread for a worker's operations unless it says otherwise."""
    return {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


class WorkerForks(Closing):
    """Where the workers of one command are forked; a context manager that ends the server.

    Its methods do nothing where forks are not safe: anywhere but on Linux.
    """

    def __init__(self) -> None:
        self._server: ForkServer | None = None
        #: This process's at the beginning: what the task's code sets here, it sets in workers too.
        self._environment: dict[str, str] = {}
        #: The devices to start a worker on, where a fork has looked; empty: nobody has.
        self.devices: Sequence[str] = ()

    def start(self) -> None:
        """Let a process import PyTorch, which takes longest."""
        if LINUX and self._server is None:
            self._environment = worker_environment()
            self._server = ForkServer(self._environment)
            self._imports(["torch"])

    def begin(self, spec: "StudySpec", folder: Path) -> None:
        """Let it import what is needed to try the task of the study in this folder."""
        self.start()
        self._imports([*_of_task(spec, folder), *TRYING])

    def go_on(self) -> None:
        """Let it import what workers need beyond that."""
        self._imports(MODULES)

    def _imports(self, names: Sequence[str]) -> None:
        if self._server is not None:
            with suppress(NotForkedError):  # it is dead, as whoever wants a fork is told
                self._server.imports(names)

    def ask(
        self,
        entry: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] = MappingProxyType({}),
        errors: int,
        output: int | None = None,
    ) -> Asked:
        """A fork that calls `package.module:function` with `argv`; see `ForkServer.fork`.

        `env` are variables beside those of this process at the beginning. Raises NotForkedError
        where a new interpreter is needed.
        """
        if self._server is None:
            raise NotForkedError("no process was begun that could be forked")
        environment = {**self._environment, **env}
        return self._server.fork(entry, argv, env=environment, errors=errors, output=output)

    def fork(self, words: Sequence[str], *, env: Mapping[str, str], errors: int) -> Forked:
        """`lrsearch WORDS` in a fork, its standard error being this file.

        `env` are variables beside those of this process at the beginning, when the server, whose
        end ends the worker, got them. Raises NotForkedError where a new interpreter is needed.
        """
        parent = {} if self._server is None else {PARENT: str(self._server.pid)}
        return self.ask(ENTRY, words, env={**env, **parent}, errors=errors).forked()

    def close(self) -> None:
        """End the server, if there is one."""
        if self._server is not None:
            self._server.close()


def _of_task(spec: "StudySpec", folder: Path) -> list[str]:
    """Libraries that the task's file imports; a file that is not there is named by who needs it."""
    place = None if spec.task is None else spec.task.rpartition(":")[0]
    if place is None or not place.endswith(".py"):
        return []
    from lrsearch.child_process.warm import warm_modules
    from lrsearch.task.find import source_of

    found = source_of(place, folder)
    return [] if found is None else [name for name in warm_modules(found[0]) if name not in MODULES]
