"""What becomes of an error in the user's code: the trial has failed, the worker goes on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lrsearch.child_process.supervisor import SupervisorError
from lrsearch.errors import describe


class TrialFailedError(Exception):
    """The task's code raised, or memory ran out (`oom`); the message is the trial's reason."""


class ProcessKilledError(TrialFailedError):
    """The process that trained it was killed from outside: the trial is to go on in another."""


@contextmanager
def failures() -> Iterator[None]:
    """Turns whatever a task's code raises inside into TrialFailedError."""
    try:
        yield
    except (TrialFailedError, SupervisorError):  # the latter: nothing can be started here any more
        raise
    except Exception as error:
        raise TrialFailedError("oom" if out_of_memory(error) else describe(error)) from error


def out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, on the device or off it, here or in what led here."""
    if error is None:
        return False
    ours = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return ours or "can't allocate memory" in str(error) or out_of_memory(error.__cause__)


class CohortError(Exception):
    """A fused engine cannot go on; its trials are intact at their last whole step."""
