"""A worker on a node of a Ray cluster: what an actor runs there."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lrsearch.launch.fleet import UNFINISHED
from lrsearch.launch.snapshot import CodeSnapshot
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
        self._asked = False
        self._process = self._start()
        threading.Thread(target=self._watch, daemon=True).start()

    def _start(self) -> subprocess.Popen[bytes]:
        words = [*self._words, "--task-dir", str(self._code)]
        return subprocess.Popen(
            [sys.executable, "-m", "lrsearch", *words, "-v"],
            env={**worker_environment(), **self._environment, PARENT: str(os.getpid())},
            cwd=self._folder,
        )

    def _watch(self) -> None:
        """Start a killed worker again; call `ended` when there is nothing more to train here."""
        restarts = 0
        while (code := self._process.wait()) < 0 and not self._asked and restarts < MOST_RESTARTS:
            restarts += 1
            self._process = self._start()
        if code not in (0, UNFINISHED):
            print(f"lrsearch: the worker ended with {code}", file=sys.stderr)
        self._ended()

    def place(self) -> str:
        """The node's host name and the worker's process id there."""
        return f"{os.uname().nodename}:{self._process.pid}"

    def stop(self) -> None:
        """End the worker in order; returns when it has ended."""
        self._asked = True
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(STOP_SECONDS)
