"""What a worker and the watcher of one of its children tell each other, one JSON line a message.

The worker says `Request`, the watcher answers with `Started` or `Refused`. Later the watcher says
`Exited` and `Gone`, once each, or `Orphaned`; the worker may say `End`, and says it too by closing.
"""

import json
import select
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

#: Bytes read at once.
CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to run."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    #: File to which standard output and error are appended.
    output: str
    #: `package.module:function` to call in a fork of the warm process; None: `argv` is a program.
    entry: str | None = None


@dataclass(frozen=True, kw_only=True)
class Started:
    """The child runs."""

    pid: int
    #: Why it is a new interpreter though a fork was asked for; None if it is no such case.
    cold: str | None = None


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The child cannot be started, as an OSError says it."""

    errno: int
    text: str
    path: str | None


@dataclass(frozen=True, kw_only=True)
class Exited:
    """The child itself has ended; negative for a signal."""

    status: int


@dataclass(frozen=True, kw_only=True)
class Gone:
    """No process is left, but those that even SIGKILL did not end; the watcher's last word."""

    left: list[int]


@dataclass(frozen=True, kw_only=True)
class Orphaned:
    """The supervisor is dead; the child is being ended."""


@dataclass(frozen=True, kw_only=True)
class End:
    """End the child, and all it started, within so many seconds."""

    grace: float


Message = Request | Started | Refused | Exited | Gone | Orphaned | End
#: By the name that stands in a line.
_TYPES: Mapping[str, type[Message]] = {
    kind.__name__: kind for kind in (Request, Started, Refused, Exited, Gone, Orphaned, End)
}


class ClosedError(Exception):
    """The other side is gone."""


class Line:
    """One end of a connection between a worker and a watcher."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._waiting = b""

    def fileno(self) -> int:
        return self._connection.fileno()

    def send(self, message: Message) -> None:
        """Raises ClosedError."""
        line = json.dumps([type(message).__name__, vars(message)]).encode() + b"\n"
        try:
            self._connection.sendall(line)
        except OSError as error:
            raise ClosedError(str(error)) from error

    def receive(self, timeout: float | None = None) -> Message | None:
        """The next message; None if none came within so many seconds (None: however long).

        Raises ClosedError where the other side is gone and has left no message.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._waiting:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._connection], [], [], left)[0]:
                return None
            try:
                data = self._connection.recv(CHUNK)
            except OSError as error:
                raise ClosedError(str(error)) from error
            if not data:
                raise ClosedError("the other side has ended")
            self._waiting += data
        line, _, self._waiting = self._waiting.partition(b"\n")
        name, fields = json.loads(line)
        return _TYPES[name](**fields)

    def close(self) -> None:
        self._connection.close()
