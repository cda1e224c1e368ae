"""What a worker and the watcher of one of its children tell each other, one JSON line a message.

The worker says `Request`, the watcher answers with `Started` or `Refused`. Later the watcher says
`Exited` and `Gone`, once each, or `Orphaned`; the worker may say `End`, and says it too by closing.
"""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from lrsearch.child_process.lines import LineSocket


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
class Import:
    """What a fork server imports before it does what it is asked for next."""

    #: As `pkgutil.resolve_name` takes them.
    names: list[str]


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


Message = Request | Import | Started | Refused | Exited | Gone | Orphaned | End
#: By the name that stands in a line.
_TYPES: Mapping[str, type[Message]] = {
    kind.__name__: kind for kind in (Request, Import, Started, Refused, Exited, Gone, Orphaned, End)
}


class Line(LineSocket[Message]):
    """One end of a connection between a worker and a watcher."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection, _encode, _decode)


def _encode(message: Message) -> bytes:
    return json.dumps([type(message).__name__, vars(message)]).encode() + b"\n"


def _decode(line: bytes) -> Message:
    name, fields = json.loads(line)
    return _TYPES[name](**fields)
