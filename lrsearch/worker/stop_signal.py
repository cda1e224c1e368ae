"""Whether this process was asked to end."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

#: Ctrl-C; a scheduler's notice that the machine is taken away (SLURM sends either).
ASKS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Stop:
    """Whether this process was asked to end, by a signal or by the end of its parent."""

    def __init__(self, parent: int = 0) -> None:
        """`parent` is the process that started this one; 0 if it may outlive it."""
        self.parent = parent
        self.signalled = False

    @property
    def asked(self) -> bool:
        return self.signalled or (self.parent != 0 and os.getppid() != self.parent)

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
