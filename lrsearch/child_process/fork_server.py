"""Forks of a process that has imported what they need: they begin at once.

Unlike the children of a `Supervisor`, a fork is not ended when the process that asked for it dies:
it sees that its parent, the server, is gone, and ends in order.
"""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lrsearch.child_process.closing import Closing
from lrsearch.child_process.lines import ClosedError
from lrsearch.child_process.protocol import Exited, Line, Refused, Request, Started

#: The exit status of a fork whose server died before it could tell.
UNKNOWN_STATUS = 1


class NotForkedError(Exception):
    """A fork cannot be had; the message says why. A new interpreter does the same, later."""


class Forked:
    """A fork, with the methods of `subprocess.Popen` that a parent needs."""

    def __init__(self, line: Line, pid: int) -> None:
        self._line, self.pid = line, pid
        #: Its status once it has ended; negative for a signal.
        self.returncode: int | None = None
        # A number of a process may be given to another one once the server has waited for it.
        self._process = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        return self._heard(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. Raises subprocess.TimeoutExpired after so many seconds."""
        status = self._heard(timeout)
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            try:
                signal.pidfd_send_signal(self._process, number)
            except ProcessLookupError:
                return  # it has just ended

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def _heard(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            try:
                message = self._line.receive(timeout)
            except ClosedError:  # the server is dead; the fork ends by itself
                if not select.select([self._process], [], [], timeout)[0]:
                    return None
                message = Exited(status=UNKNOWN_STATUS)
            if isinstance(message, Exited):
                self.returncode = message.status
                self._line.close()
                os.close(self._process)
        return self.returncode


class ForkServer(Closing):
    """A process that imports `warm` in the background and is forked afterwards.

    A context manager. Its environment is `env`, and forks need one that agrees in what is read when
    an interpreter starts. `warm` are names as `pkgutil.resolve_name` takes them.
    """

    def __init__(self, warm: Sequence[str], env: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair()
        command = [sys.executable, "-m", "lrsearch.child_process.serve_forks"]
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), *warm],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the server, the parent of the forks."""
        return self._process.pid

    def fork(
        self, entry: str, argv: Sequence[str], *, env: Mapping[str, str], errors: int
    ) -> Forked:
        """Call `package.module:function` with `argv` in a fork, once the imports are done.

        `errors` is the descriptor of its standard error; its standard output is thrown away. Raises
        NotForkedError.
        """
        ours, theirs = socket.socketpair()
        line = Line(ours)
        request = Request(
            argv=list(argv), env=dict(env), cwd=str(Path.cwd()), output="", entry=entry
        )
        try:
            with theirs:
                socket.send_fds(self._control, [b"+"], [theirs.fileno(), errors])
            line.send(request)
            message = line.receive()
        except (OSError, ClosedError) as error:
            line.close()
            raise NotForkedError(f"the process that forks them has ended: {error}") from error
        if isinstance(message, Started):
            return Forked(line, message.pid)
        line.close()
        assert isinstance(message, Refused)
        raise NotForkedError(message.text)

    def close(self) -> None:
        """End the server, also in the midst of its imports. Forks that still run end in order."""
        self._control.close()
        self._process.kill()
        self._process.wait()
