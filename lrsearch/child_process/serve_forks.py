"""The process of a `ForkServer`: imports once, and forks for each request.

`python -m lrsearch.child_process.serve_forks DESCRIPTOR`: a connected socket, over which it is told
what to import and what to fork, and does it in that order. It ends when the other end of the socket
is closed; its forks then have another parent, and decide for themselves.
"""

import atexit
import contextlib
import gc
import io
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from lrsearch.child_process.become import Call, as_a_new_interpreter, call
from lrsearch.child_process.lines import ClosedError
from lrsearch.child_process.protocol import Exited, Import, Line, Refused, Request, Started
from lrsearch.child_process.signals import Signals
from lrsearch.child_process.warm import import_before_forks, why_not_with
from lrsearch.child_process.watcher import refusal


class ForkServing:
    """Serves the process at the other end of `control`, which sends a socket for each message.

    With a request for a fork come its standard error, and its standard output if it has one.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        #: Why no fork would be sound; None if forks are.
        self._cold: str | None = None
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
                _, files, _, _ = socket.recv_fds(self._control, 1, 3)
            except OSError:
                files = []
            if not files:
                return None
            connection, *streams = files
            call = self._serve(socket.socket(fileno=connection), streams)
            for stream in streams:
                os.close(stream)
            if call is not None:
                return call

    def _serve(self, connection: socket.socket, streams: Sequence[int]) -> Call | None:
        line = Line(connection)
        try:
            request = line.receive()
        except ClosedError:
            return None
        if isinstance(request, Import):
            line.close()
            self._cold = self._cold or import_before_forks(request.names)
            return None
        assert isinstance(request, Request)
        cold = self._cold or why_not_with(request.env)
        if cold is not None:
            _answer(connection, Refused(errno=0, text=cold, path=None))
            return None
        try:
            pid = os.fork()
        except OSError as error:
            _answer(connection, refusal(error))
            return None
        if pid:
            self._lines[pid] = line
            _answer(connection, Started(pid=pid))
            return None
        self._leave(line)
        return _fork_of(request, streams)

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


def _answer(connection: socket.socket, message: Started | Refused) -> None:
    """Say what became of a request, after a byte with which the pidfd of a fork comes."""
    files = [os.pidfd_open(message.pid)] if isinstance(message, Started) else []
    with contextlib.suppress(OSError):  # nobody wants to know any more
        socket.send_fds(connection, [b"+"], files)
    for file in files:
        os.close(file)
    _tell(Line(connection), message)


def _tell(line: Line, message: Started | Refused | Exited) -> None:
    with contextlib.suppress(ClosedError):  # nobody wants to know any more
        line.send(message)


def _fork_of(request: Request, streams: Sequence[int]) -> Call:
    """Become what was asked for: a session of its own, with these standard error and output."""
    assert request.entry is not None
    os.setsid()
    for number, stream in zip((2, 1), streams, strict=False):
        os.dup2(stream, number)
    as_a_new_interpreter(request)
    return Call(entry=request.entry, argv=request.argv)


def main(arguments: Sequence[str]) -> Call | None:
    """Serve. Returns in a fork alone, what it is to call."""
    (descriptor,) = arguments
    control = socket.socket(fileno=int(descriptor))
    control.set_inheritable(False)
    return ForkServing(control).run()


def end_after(entry: str, argv: Sequence[str]) -> NoReturn:
    """Call it, and end as an interpreter does, but leave all modules as they are.

    To take down what was imported takes half a second of CPU, ten times what the rest does.
    """
    status = _status_of(entry, argv)
    threading._shutdown()  # type: ignore[attr-defined] # multiprocessing ends its forks so
    atexit._run_exitfuncs()
    for held in (sys.stdout, sys.stderr, *gc.get_objects()):  # those since the last `gc.freeze`
        if issubclass(type(held), io.IOBase):
            with contextlib.suppress(OSError, ValueError):  # nobody reads it, or it was closed
                held.flush()
    os._exit(status)


def _status_of(entry: str, argv: Sequence[str]) -> int:
    """What the interpreter would end with; it prints the error that ends it."""
    try:
        call(entry, argv)
    except SystemExit as ending:
        if ending.code is None or isinstance(ending.code, int):
            return (ending.code or 0) & 0xFF
        print(ending.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    return 1


if __name__ == "__main__":
    forked = main(sys.argv[1:])
    if forked is not None:
        end_after(forked.entry, forked.argv)
