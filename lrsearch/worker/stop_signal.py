"""Whether this process was asked to end."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from lrsearch.worker.time_limit import TimeLimit

#: Ctrl-C; a scheduler's notice that the machine is taken away (SLURM sends either).
ASKS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Stop:
    """Whether this process is to end: by a signal, the end of its parent, or its time limit."""

    def __init__(self, parent: int = 0, limit: TimeLimit | None = None) -> None:
        """`parent` is the process that started this one; 0 if it may outlive it."""
        self.parent = parent
        self.limit = TimeLimit() if limit is None else limit
        self.signalled = False

    @property
    def asked(self) -> bool:
        orphaned = self.parent != 0 and os.getppid() != self.parent
        return self.signalled or orphaned or self.limit.is_near

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Each of `ASKS` ends the worker in order; a second Ctrl-C ends it at once."""

        def ask(number: int, frame: object) -> None:
            if self.signalled and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.signalled = True

        before = {number: signal.signal(number, ask) for number in ASKS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
