"""What Linux alone offers: adopting orphans, and a signal when the parent dies."""

import ctypes
import os
import sys
from pathlib import Path

#: Of <linux/prctl.h>.
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

LINUX = sys.platform == "linux"
# Loaded once, before any fork.
_LIBC = ctypes.CDLL(None, use_errno=True) if LINUX else None


def adopt_orphans() -> None:
    """Processes that descend from this one become its children when their parent ends."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int, number: int) -> None:
    """This process gets the signal `number` when its parent, whose pid is `parent`, ends.

    If the parent is dead already, this process ends now.
    """
    _prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def _prctl(option: int, value: int) -> None:
    if _LIBC is not None and _LIBC.prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {value}): {os.strerror(number)}")


def threads() -> int:
    """How many threads this process has; 1 where that cannot be known."""
    return len(list(Path("/proc/self/task").iterdir())) if LINUX else 1
