"""A worker inside a Slurm job: what submitit calls there, and how the job is queued again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from lrsearch.errors import StudyError
from lrsearch.launch.fleet import LEAST_SECONDS, NO_TIME, UNFINISHED

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

#: Slurm sends it before the time limit and at preemption. Workers obey it too.
SIGNAL = signal.SIGUSR1
#: How a worker ends in order; by a signal where it had not begun to listen.
ENDS = (0, UNFINISHED, -SIGNAL, -signal.SIGTERM)


class WorkerJob:
    """Runs `lrsearch WORDS`; where that leaves an unfinished study, the job is queued again.

    submitit pickles it, calls it in the job, and calls `checkpoint` at a signal.
    """

    def __init__(self, words: Sequence[str], stopped: Path) -> None:
        """`stopped` is a file that is there once the fleet is to end."""
        self.words, self.stopped = list(words), stopped
        self._process: subprocess.Popen[bytes] | None = None
        self._terminated = False

    def __call__(self) -> None:
        started = time.monotonic()
        before = signal.signal(signal.SIGTERM, self._terminate)
        try:
            if self.stopped.exists():  # while this process was loading
                return
            self._process = subprocess.Popen([sys.executable, "-m", "lrsearch", *self.words])
            code = self._process.wait()
        finally:
            signal.signal(signal.SIGTERM, before)
        if code not in ENDS:
            raise StudyError(f"the worker ended with {code}; its output is above")
        # After SIGTERM it is Slurm, or who cancelled the job, that says whether it runs again.
        if code == 0 or self._terminated or self.stopped.exists():
            return
        if code == UNFINISHED and time.monotonic() - started < LEAST_SECONDS:
            raise StudyError(NO_TIME)
        os.kill(os.getpid(), SIGNAL)  # submitit's handler queues the job again, and exits

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self._terminated = True
        self._end()

    def checkpoint(self) -> "DelayedSubmission | None":
        """End the worker in order; what the job goes on with, None where the fleet was stopped."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            self._end()
            # Not `Popen.wait`: this interrupts one, which holds its lock.
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        if self.stopped.exists():
            return None
        return DelayedSubmission(WorkerJob(self.words, self.stopped))

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
