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
from lrsearch.child_process.protocol import Exited, Import, Line, Refused, Request, Started

#: The exit status of a fork whose server died before it could tell.
UNKNOWN_STATUS = 1


class NotForkedError(Exception):
    """A fork cannot be had; the message says why. A new interpreter does the same, later."""


class Forked:
    """A fork, with the methods of `subprocess.Popen` that a parent needs."""

    def __init__(self, line: Line, pid: int, process: int) -> None:
        """`process` is its pidfd: another process may get `pid` once the server has waited."""
        self._line, self.pid, self._process = line, pid, process
        #: Its status once it has ended; negative for a signal.
        self.returncode: int | None = None

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

    def has_ended(self, timeout: float | None) -> bool:
        """Whether it has ended, or does within so many seconds (None: however long it takes).

        `poll` tells that once the server has done what it was asked for since.
        """
        return self.returncode is not None or bool(
            select.select([self._process], [], [], timeout)[0]
        )

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


class Asked:
    """A fork that was asked for."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def forked(self) -> Forked:
        """The fork, once what was asked for before is done. Raises NotForkedError."""
        line = Line(self._connection)
        try:
            _, files, _, _ = socket.recv_fds(self._connection, 1, 1)
            message = line.receive()
        except (OSError, ClosedError) as error:
            line.close()
            raise _ended(error) from error
        if isinstance(message, Started):
            return Forked(line, message.pid, files[0])
        line.close()
        assert isinstance(message, Refused)
        raise NotForkedError(message.text)


class ForkServer(Closing):
    """A process that imports in the background what its forks need.

    A context manager. Its environment is `env`, and forks need one that agrees in what is read when
    an interpreter starts. It does what it is asked for in that order.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair()
        command = [sys.executable, "-m", "lrsearch.child_process.serve_forks"]
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
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

    def imports(self, names: Sequence[str]) -> None:
        """Let it import these, named as `pkgutil.resolve_name` takes them.

        Raises NotForkedError.
        """
        self._send(Import(names=list(names)), []).close()

    def fork(
        self,
        entry: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        errors: int,
        output: int | None = None,
    ) -> Asked:
        """Let it call `package.module:function` with `argv` in a fork.

        `errors` and `output` are the descriptors of its standard error and output, which is thrown
        away without one. Raises NotForkedError.
        """
        request = Request(
            argv=list(argv), env=dict(env), cwd=str(Path.cwd()), output="", entry=entry
        )
        return Asked(self._send(request, [errors] if output is None else [errors, output]))

    def _send(self, message: Import | Request, files: Sequence[int]) -> socket.socket:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._control, [b"+"], [theirs.fileno(), *files])
            Line(ours).send(message)
        except (OSError, ClosedError) as error:
            ours.close()
            raise _ended(error) from error
        return ours

    def close(self) -> None:
        """End the server, also in the midst of its imports. Forks that still run end in order."""
        self._control.close()
        self._process.kill()
        self._process.wait()


def _ended(error: Exception) -> NotForkedError:
    return NotForkedError(f"the process that forks them has ended: {error}")
