"""The process of a `ForkServer`: imports once, then forks for each request.

`python -m lrsearch.child_process.serve_forks DESCRIPTOR MODULE...`: a connected socket, and what to
import before the first fork. It ends when the other end of the socket is closed; its forks then
have another parent, and decide for themselves.
"""

import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence

from lrsearch.child_process.become import Call, as_a_new_interpreter, call
from lrsearch.child_process.lines import ClosedError
from lrsearch.child_process.protocol import Exited, Line, Refused, Request, Started
from lrsearch.child_process.signals import Signals
from lrsearch.child_process.warm import import_before_forks, why_not_with
from lrsearch.child_process.watcher import refusal


class ForkServing:
    """Serves the process at the other end of `control`, which sends two files for each fork.

    They are a socket for messages, and the standard error of the fork.
    """

    def __init__(self, control: socket.socket, cold: str | None) -> None:
        """`cold` says why no fork would be sound; None if forks are."""
        self._control, self._cold = control, cold
        self._signals = Signals((signal.SIGCHLD,))
        self._lines: dict[int, Line] = {}

    def run(self) -> Call | None:
        """Until the other end is closed. Returns a call in a fork alone."""
        while True:
            awaited: list[Signals | socket.socket] = [self._signals, self._control]
            ready = select.select(awaited, [], [])[0]
            self._signals.arrived()
            self._tell_exits()
            if self._control not in ready:
                continue
            try:
                _, files, _, _ = socket.recv_fds(self._control, 1, 2)
            except OSError:
                files = []
            if not files:
                return None
            connection, errors = files
            call = self._serve(Line(socket.socket(fileno=connection)), errors)
            os.close(errors)
            if call is not None:
                return call

    def _serve(self, line: Line, errors: int) -> Call | None:
        try:
            request = line.receive()
        except ClosedError:
            return None
        assert isinstance(request, Request)
        cold = self._cold or why_not_with(request.env)
        if cold is not None:
            _tell(line, Refused(errno=0, text=cold, path=None))
            return None
        try:
            pid = os.fork()
        except OSError as error:
            _tell(line, refusal(error))
            return None
        if pid:
            self._lines[pid] = line
            _tell(line, Started(pid=pid))
            return None
        self._leave(line)
        return _fork_of(request, errors)

    def _leave(self, line: Line) -> None:
        """Close in a fork what is the server's."""
        self._control.close()
        self._signals.close()
        for other in (line, *self._lines.values()):
            other.close()

    def _tell_exits(self) -> None:
        while self._lines:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            line = self._lines.pop(pid)
            _tell(line, Exited(status=os.waitstatus_to_exitcode(status)))
            line.close()


def _tell(line: Line, message: Started | Refused | Exited) -> None:
    with contextlib.suppress(ClosedError):  # nobody wants to know any more
        line.send(message)


def _fork_of(request: Request, errors: int) -> Call:
    """Become what was asked for: a session of its own, with this standard error."""
    assert request.entry is not None
    os.setsid()
    os.dup2(errors, 2)
    as_a_new_interpreter(request)
    return Call(entry=request.entry, argv=request.argv)


def main(arguments: Sequence[str]) -> Call | None:
    """Serve. Returns in a fork alone, what it is to call."""
    descriptor, *modules = arguments
    control = socket.socket(fileno=int(descriptor))
    control.set_inheritable(False)
    return ForkServing(control, import_before_forks(modules)).run()


if __name__ == "__main__":
    forked = main(sys.argv[1:])
    if forked is not None:
        call(forked.entry, forked.argv)
