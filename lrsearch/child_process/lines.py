"""A socket between two processes whose messages are lines."""

import select
import socket
import time
from collections.abc import Callable
from typing import Generic, TypeVar

#: Bytes read at once.
CHUNK = 1 << 16

M = TypeVar("M")


class ClosedError(Exception):
    """The other side is gone."""


class LineSocket(Generic[M]):
    """One end of a connection that carries messages of one type."""

    def __init__(
        self,
        connection: socket.socket,
        encode: Callable[[M], bytes],
        decode: Callable[[bytes], M],
    ) -> None:
        """`encode` gives a line with its end, `decode` takes one without."""
        self._connection, self._encode, self._decode = connection, encode, decode
        self._waiting = bytearray()

    def fileno(self) -> int:
        return self._connection.fileno()

    def send(self, message: M) -> None:
        """Raises ClosedError where the other side is gone."""
        try:
            self._connection.sendall(self._encode(message))
        except OSError as error:
            raise ClosedError(str(error)) from error

    def receive(self, timeout: float | None = None) -> M | None:
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
        line, _, rest = bytes(self._waiting).partition(b"\n")
        self._waiting = bytearray(rest)
        return self._decode(line)

    def close(self) -> None:
        self._connection.close()
