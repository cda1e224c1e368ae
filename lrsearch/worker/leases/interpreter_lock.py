"""A wait for the interpreter's lock, told from one in which the process did not run at all.

A step in C that holds the lock (GIL) stops every thread of its process, the one that renews leases
too. Seen from the database it is like a process that was stopped or a machine that slept, for which
its trial is not to blame.
"""

import resource
import threading
import time

#: Turns in a second of waiting from which it was the lock that was waited for: who waits for it
#: wakes up every 5 ms (`sys.getswitchinterval`), a stopped process never. Measured on a loaded
#: machine: 66 to 115 in a second under a step that sleeps or computes, 1 under SIGSTOP.
TURNS = 10.0


def wait(event: threading.Event, seconds: float) -> float:
    """Wait for the event or so long; seconds beyond that for which the lock was held elsewhere.

    0.0 where the kernel does not count a thread's turns, as on macOS.
    """
    started, before = time.monotonic(), _turns()
    event.wait(seconds)
    late = time.monotonic() - started - seconds
    return late if late > 0 and _turns() - before > TURNS * max(late, 1.0) else 0.0


def _turns() -> int:
    """How often this thread has let go of its core by itself."""
    whose = getattr(resource, "RUSAGE_THREAD", None)
    return 0 if whose is None else resource.getrusage(whose).ru_nvcsw
