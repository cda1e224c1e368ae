"""Signals that wake a process which waits for a socket, and the defaults of a new process."""

import os
import signal
from collections.abc import Callable, Iterable, Mapping
from types import FrameType

#: What Python itself sets when it starts; all others are SIG_DFL.
_PYTHON: Mapping[int, signal.Handlers | Callable[[int, FrameType | None], None]] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGPIPE: signal.SIG_IGN,
    signal.SIGXFSZ: signal.SIG_IGN,
}
#: A worker gets these as well, and decides; its helpers do not end before it.
_WORKERS_CONCERN = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Signals:
    """Wakes a `select` on it when one of `numbers` arrives. One per process."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _woken)
        for number in _WORKERS_CONCERN:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def fileno(self) -> int:
        return self._read

    def arrived(self) -> set[int]:
        """The numbers that have come since the last call."""
        try:
            return set(os.read(self._read, 4096))
        except BlockingIOError:
            return set()

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._read)
        os.close(self._write)


def _woken(number: int, frame: FrameType | None) -> None:
    """Python writes the number to the wakeup descriptor."""


def defaults(*, python: bool) -> None:
    """Handlers and mask as a new process has them: of Python, or of any other program."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, _PYTHON.get(number, signal.SIG_DFL) if python else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
