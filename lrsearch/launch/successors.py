"""A worker's process on one machine, and another one where it left at its time limit."""

import subprocess
import threading
import time
from collections.abc import Callable
from signal import SIGTERM

from lrsearch.launch.fleet import LEAST_SECONDS, NO_TIME, UNFINISHED


class Successors:
    """One worker after another, until the study is finished or the last one failed.

    A worker is followed by another where it left an unfinished study at its time limit, and a few
    times where a signal killed it.
    """

    def __init__(
        self, start: Callable[[], subprocess.Popen[bytes]], *, most_killed: int = 0
    ) -> None:
        """`start` begins a worker, the first one now; `most_killed` killed ones are followed."""
        self._start, self._killed_left = start, most_killed
        self._asked, self._over = False, threading.Event()
        self._begin()

    def _begin(self) -> None:
        self._began, self._process = time.monotonic(), self._start()

    @property
    def pid(self) -> int:
        """Of the worker that runs, or ran last."""
        return self._process.pid

    def wait(self) -> str | None:
        """Until the last one has ended: what was wrong with its end, None if it left in order."""
        try:
            while self._is_followed(code := self._process.wait()):
                self._begin()
                if self._asked:  # meanwhile
                    self._process.send_signal(SIGTERM)
        finally:
            self._over.set()
        if code == UNFINISHED and not self._asked:
            return NO_TIME
        return None if code in (0, UNFINISHED) else f"the worker ended with {code}"

    def _is_followed(self, code: int) -> bool:
        if self._asked:
            return False
        if code == UNFINISHED:
            return time.monotonic() - self._began >= LEAST_SECONDS
        self._killed_left -= code < 0
        return code < 0 and self._killed_left >= 0

    def stop(self) -> None:
        """Let the worker end in order, and nobody follow it; a signal's handler may call it."""
        self._asked = True
        self._process.send_signal(SIGTERM)  # nothing is sent to one that has ended

    def wait_for_end(self, seconds: float) -> None:
        """Until another thread's `wait` has ended, but no longer than that."""
        self._over.wait(seconds)
