"""DataLoader processes that were killed: the trial is to go on, its recipe is not to blame."""

import signal
from collections.abc import Iterable, Iterator
from typing import TypeVar

from lrsearch.training.failures import ProcessKilledError

T = TypeVar("T")

#: The module whose handler of SIGCHLD raises RuntimeError.
TORCHS = "torch.utils.data._utils.signal_handling"


def watched(batches: Iterable[T]) -> Iterator[T]:
    """The same batches, of a DataLoader or of anything else.

    Raises ProcessKilledError where a process of the DataLoader was killed by SIGKILL: by hand, or
    by the kernel, for want of memory. Other ends are errors of the data's own, and stay as they
    are.
    """
    iterator = iter(batches)  # now: it may draw random numbers
    _confine()
    return _told_apart(iterator)


def _told_apart(iterator: Iterator[T]) -> Iterator[T]:
    try:
        yield from iterator
    except RuntimeError as error:
        # The iterator's own list: torch's message names the process, and not always its end.
        processes = getattr(iterator, "_workers", ())
        if any(process.exitcode == -signal.SIGKILL for process in processes):
            raise ProcessKilledError("a DataLoader process of it was killed") from error
        raise


def _confine() -> None:
    """Let the death of a DataLoader's process show where a batch is read, within 5 s.

    torch's handler of SIGCHLD raises wherever the main thread is just then: in a transaction too.
    Without it the same is found when no batch comes.
    """
    handler = signal.getsignal(signal.SIGCHLD)
    if getattr(handler, "__module__", None) == TORCHS:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
