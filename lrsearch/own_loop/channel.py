"""A socket that carries messages between a worker and the child process that trains."""

import select
import socket
import tempfile
from pathlib import Path

from lrsearch.child_process.closing import Closing
from lrsearch.child_process.lines import LineSocket
from lrsearch.own_loop.messages import Message, decode, encode

#: Names the worker's socket to its child.
SOCKET = "LRSEARCH_RUN"


class Channel(LineSocket[Message]):
    """One end of a connection. Raises ClosedError where the other one is gone."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection, encode, decode)

    @classmethod
    def connect(cls, path: str) -> "Channel":
        """The child's end. Raises OSError where nobody listens."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(path)
        return cls(connection)


class Listener(Closing):
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
