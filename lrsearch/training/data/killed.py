"""DataLoader processes that were killed: the trial is to go on, its recipe is not to blame."""

import signal
from collections.abc import Iterable, Iterator
from typing import TypeVar

from lrsearch.training.failures import ProcessKilledError

T = TypeVar("T")

#: The module whose handler of SIGCHLD raises RuntimeError.
TORCHS = "torch.utils.data._utils.signal_handling"
#: How torch tells of a process that is gone; the latter two where a batch of it was still to be
#: fetched.
TOLD_AS = (RuntimeError, OSError, EOFError)
#: Its end may show a moment later than its connections'.
END_SECONDS = 0.5


def watched(batches: Iterable[T]) -> Iterator[T]:
    """The same batches, of a DataLoader or of anything else.

    Raises ProcessKilledError where a process of the DataLoader was killed by SIGKILL: by hand, or
    by the kernel, for want of memory. Other ends are errors of the data's own, and stay as they
    are.
    """
    try:
        iterator = iter(batches)  # now: it may draw random numbers
    except TOLD_AS as error:
        _tell_apart(error, getattr(batches, "_iterator", None))  # of the pass before, which stays
        raise
    _confine()
    return _each(iterator)


def _each(iterator: Iterator[T]) -> Iterator[T]:
    try:
        yield from iterator
    except TOLD_AS as error:
        _tell_apart(error, iterator)
        raise


def _tell_apart(error: Exception, iterator: object) -> None:
    # By the iterator's own list: torch's message names the process, and not always its end.
    for process in getattr(iterator, "_workers", ()):
        process.join(END_SECONDS)
        if process.exitcode == -signal.SIGKILL:
            raise ProcessKilledError("a DataLoader process of it was killed") from error


def _confine() -> None:
    """Let the death of a DataLoader's process show where a batch is read, within 5 s.

    torch's handler of SIGCHLD raises wherever the main thread is just then: in a transaction too.
    Without it the same is found when no batch comes.
    """
    handler = signal.getsignal(signal.SIGCHLD)
    if getattr(handler, "__module__", None) == TORCHS:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
