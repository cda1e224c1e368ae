"""The lines of a file that another process writes, as they come."""

import re
from pathlib import Path
from typing import BinaryIO

from lrsearch.errors import TaskError

#: A line that has grown to so many characters is taken as it stands.
LONGEST_LINE = 1 << 20
#: So many bytes at the beginning of a file tell whether it is still the same one.
_HEAD_BYTES = 4096
_END = re.compile(rb"\r\n|\r|\n")
#: Colours, cursor movements and window titles of terminals (ECMA-48's CSI and OSC sequences).
_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


class Lines:
    """What is new in a file, line by line.

    A line ends with a newline or a carriage return, which a progress bar writes. A file that is not
    there has no lines yet. One that was cut, replaced or written anew is read again from its
    beginning.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: How often the file was found to be another one.
        self.restarts = 0
        self._offset = 0
        self._head = b""
        self._partial = b""

    def poll(self, *, ended: bool = False) -> list[str]:
        """The lines that are complete since the last call.

        With `ended`, the file's last line needs no end. The lines are without the control
        sequences of terminals, and none of them is empty. Raises TaskError for a file that cannot
        be read.
        """
        data = self._partial + self._new_bytes()
        *complete, rest = _END.split(data)
        *begun, rest = _pieces(rest)
        if ended:
            begun, rest = [*begun, rest], b""
        self._partial = rest
        pieces = [*(piece for line in complete for piece in _pieces(line)), *begun]
        texts = (_TERMINAL.sub("", piece.decode(errors="replace")) for piece in pieces)
        return [text for text in texts if text]

    def _new_bytes(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                if file.seek(0, 2) < self._offset or not self._begins_alike(file):
                    self.restarts += 1
                    self._offset, self._head, self._partial = 0, b"", b""
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise TaskError(f"report: cannot read {self.path}: {error.strerror}") from error
        if self._offset == len(self._head) < _HEAD_BYTES:
            self._head += data[: _HEAD_BYTES - len(self._head)]
        self._offset += len(data)
        return data

    def _begins_alike(self, file: BinaryIO) -> bool:
        file.seek(0)
        return file.read(len(self._head)) == self._head


def _pieces(line: bytes) -> list[bytes]:
    """The line, cut where it is longer than the longest."""
    places = range(0, max(len(line), 1), LONGEST_LINE)
    return [line[place : place + LONGEST_LINE] for place in places]
