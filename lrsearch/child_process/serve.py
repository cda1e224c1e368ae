"""The supervisor's process: forks a watcher for each child, and outlives nobody.

`python -m lrsearch.child_process.serve DESCRIPTOR WORKER MODULE...`: a connected socket, the pid of
the worker, and what to import now, so that forks need not.
"""

import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence

from lrsearch.child_process import linux
from lrsearch.child_process.become import Call, call
from lrsearch.child_process.lines import ClosedError
from lrsearch.child_process.process_table import descendants
from lrsearch.child_process.protocol import Line
from lrsearch.child_process.signals import Signals
from lrsearch.child_process.warm import import_before_forks
from lrsearch.child_process.watcher import (
    ABANDONED,
    KILL_AGAIN_SECONDS,
    Watcher,
    refusal,
    send_signal,
)


class Server:
    """Serves the worker at the other end of `control`, which sends a socket for each child."""

    def __init__(self, control: socket.socket, worker: int, cold: str | None) -> None:
        self._control = control
        self._cold = cold
        self._signals = Signals((signal.SIGCHLD,))
        self._watchers: set[int] = set()
        #: Readable once the worker is dead, though a fork of it holds the socket open.
        self._worker = os.pidfd_open(worker) if linux.LINUX else None
        self._serving = True
        self._has_orphans = False
        linux.adopt_orphans()

    def run(self) -> Call | None:
        """Until the worker is gone and every child has ended. Returns a call in a child alone."""
        while self._serving or self._watchers or self._has_orphans:
            awaited: list[socket.socket | Signals | int] = [self._signals]
            if self._serving:
                awaited.append(self._control)
                awaited += [] if self._worker is None else [self._worker]
            patience = KILL_AGAIN_SECONDS if self._has_orphans else None
            ready = select.select(awaited, [], [], patience)[0]
            self._signals.arrived()
            self._reap()
            if self._has_orphans:
                self._end_orphans()
            if self._worker in ready:
                self._abandon()
            elif self._control in ready and (connection := self._accept()) is not None:
                call = self._watch(connection)
                if call is not None:
                    return call
        return None

    def _accept(self) -> socket.socket | None:
        try:
            _, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        except OSError:
            descriptors = []
        if not descriptors:  # it said farewell, or died
            self._abandon()
            return None
        return socket.socket(fileno=descriptors[0])

    def _abandon(self) -> None:
        """The worker is gone."""
        self._serving = False
        send_signal(self._watchers, ABANDONED)

    def _watch(self, connection: socket.socket) -> Call | None:
        here = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            with connection, contextlib.suppress(ClosedError):
                Line(connection).send(refusal(error))
            return None
        if pid:
            connection.close()
            self._watchers.add(pid)
            return None
        self._control.close()
        self._signals.close()
        if self._worker is not None:
            os.close(self._worker)
        call = Watcher(Line(connection), supervisor=here, cold=self._cold).run()
        if call is None:
            os._exit(0)
        return call

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._watchers:
                self._watchers.remove(pid)
                # One that was killed leaves its child's processes to this one.
                self._has_orphans |= os.WIFSIGNALED(status)

    def _end_orphans(self) -> None:
        watched = {below for watcher in self._watchers for below in descendants(watcher)}
        orphans = set(descendants(os.getpid())) - self._watchers - watched
        send_signal(orphans, signal.SIGKILL)
        self._has_orphans = bool(orphans)


def main(arguments: Sequence[str]) -> Call | None:
    """Serve. Returns in a forked child alone, what it is to call."""
    descriptor, worker, *modules = arguments
    control = socket.socket(fileno=int(descriptor))
    control.set_inheritable(False)
    cold = import_before_forks(modules)
    if os.getppid() != int(worker):
        return None
    return Server(control, int(worker), cold).run()


if __name__ == "__main__":
    child = main(sys.argv[1:])
    if child is not None:
        call(child.entry, child.argv)
