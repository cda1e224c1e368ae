"""A worker on a node of a Ray cluster: what an actor runs there."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lrsearch.launch.snapshot import CodeSnapshot
from lrsearch.launch.successors import Successors
from lrsearch.worker.forks import PARENT, worker_environment

#: A worker that a signal has killed is started again so often on its node.
MOST_RESTARTS = 3
#: A worker that is asked to stop has so long to write its checkpoint.
STOP_SECONDS = 60.0


class RayWorker:
    """`lrsearch worker` as a process of the node that its actor is on.

    It starts when the actor does, also where Ray makes the actor anew after it has lost a node. It
    ends in order when the actor's process does.
    """

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        code: Mapping[str, bytes],
        folder: str,
        ended: Callable[[], None],
    ) -> None:
        """`folder` is worked in where the node has it; `ended` is called after the last worker."""
        self._words, self._environment, self._ended = list(words), dict(environment), ended
        self._place = tempfile.TemporaryDirectory(prefix="lrsearch-")
        here = Path(folder)
        self._folder = here if here.is_dir() else Path(self._place.name)
        # Without links: what lies beside the code where it came from may not be on this node.
        self._code = Path(self._place.name) / "code"
        CodeSnapshot(folder=self._code, files=code).write(self._code)
        self._workers = Successors(self._start, most_killed=MOST_RESTARTS)
        threading.Thread(target=self._watch, daemon=True).start()

    def _start(self) -> subprocess.Popen[bytes]:
        words = [*self._words, "--task-dir", str(self._code)]
        return subprocess.Popen(
            [sys.executable, "-m", "lrsearch", *words, "-v"],
            env={**worker_environment(), **self._environment, PARENT: str(os.getpid())},
            cwd=self._folder,
        )

    def _watch(self) -> None:
        """Call `ended` when there is nothing more to train here."""
        if trouble := self._workers.wait():
            print(f"lrsearch: {trouble}", file=sys.stderr)
        self._ended()

    def place(self) -> str:
        """The node's host name and the worker's process id there."""
        return f"{os.uname().nodename}:{self._workers.pid}"

    def stop(self) -> None:
        """End the worker in order; returns when it has ended."""
        self._workers.stop()
        self._workers.wait_for_end(STOP_SECONDS)
