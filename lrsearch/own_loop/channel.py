"""A socket that carries messages between a worker and the child process that trains."""

import select
import socket
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from lrsearch.own_loop.messages import Message, decode, encode

#: Names the worker's socket to its child.
SOCKET = "LRSEARCH_RUN"


class ChannelClosedError(Exception):
    """The other side is gone."""


class Channel:
    """One end of a connection. Raises ChannelClosedError where the other one is gone."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._waiting = bytearray()

    @classmethod
    def connect(cls, path: str) -> "Channel":
        """The child's end. Raises OSError where nobody listens."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(path)
        return cls(connection)

    def fileno(self) -> int:
        return self._connection.fileno()

    def send(self, message: Message) -> None:
        try:
            self._connection.sendall(encode(message))
        except OSError as error:
            raise ChannelClosedError(str(error)) from error

    def receive(self, timeout: float | None = None) -> Message | None:
        """The next message; None if none came within so many seconds (None: however long)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._waiting:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._connection], [], [], left)[0]:
                return None
            try:
                data = self._connection.recv(1 << 16)
            except OSError as error:
                raise ChannelClosedError(str(error)) from error
            if not data:
                raise ChannelClosedError("the other side has ended")
            self._waiting += data
        line, _, rest = bytes(self._waiting).partition(b"\n")
        self._waiting = bytearray(rest)
        return decode(line)

    def close(self) -> None:
        self._connection.close()


class Listener:
    """The worker's end before its child has connected; its folder is this user's alone."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lrsearch-")
        #: For the child's environment, as `SOCKET`.
        self.path = str(Path(self._folder.name) / "run")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(self.path)
        Path(self.path).chmod(0o600)
        self._socket.listen(1)

    def accept(self, timeout: float) -> Channel | None:
        """The child's connection; None if there was none within so many seconds."""
        if not select.select([self._socket], [], [], timeout)[0]:
            return None
        return Channel(self._socket.accept()[0])

    def close(self) -> None:
        self._socket.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
