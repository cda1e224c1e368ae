"""A process that runs loops when it is asked to, with a heap of its own.

What a process has allocated and freed decides how fast it gets memory: users run their loop in a
process of its own, and lrsearch trains in workers.
"""

import multiprocessing
import resource
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from types import TracebackType
from typing import NamedTuple

SPAWN = multiprocessing.get_context("spawn")
Loops = Mapping[str, Callable[[], object]]


class Used(NamedTuple):
    """What a loop took."""

    #: Seconds of the process's CPU time.
    cpu: float
    #: Pages of memory that the system gave, each for the first time or anew.
    pages: int


class OwnProcess:
    """A context with a process that runs loops by their names."""

    def __init__(self, make_loops: Callable[[], Loops]) -> None:
        """`make_loops`, which can be pickled, is called there, where nothing was done before."""
        self._line, other = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_serve, args=(other, make_loops), daemon=True)

    def __enter__(self) -> "OwnProcess":
        self._process.start()
        return self

    def run(self, loop: str) -> Used:
        """Run a loop there. Raises RuntimeError if it fails."""
        self._line.send(loop)
        while not self._line.poll(1.0):
            if not self._process.is_alive():
                raise RuntimeError(f"the process of {loop} has ended")
        used: Used = self._line.recv()
        return used

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.join()


def _serve(line: Connection, make_loops: Callable[[], Loops]) -> None:
    loops = make_loops()
    while True:
        loop = loops[line.recv()]
        faults, started = page_faults(), time.process_time()
        loop()
        line.send(Used(cpu=time.process_time() - started, pages=page_faults() - faults))


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
