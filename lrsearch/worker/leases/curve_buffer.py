"""Rows of a curve on their way to the database: they wait here, however long it is away.

They stay here once they are there: a database that fails over to a replica may lose what it had
acknowledged, and is given it again.
"""

import json
import logging
import tempfile
from io import FileIO
from pathlib import Path
from threading import Lock

from lrsearch.private_files import make_private_folder
from lrsearch.trial.curve import Validation

log = logging.getLogger("lrsearch")

#: So many rows stay in memory, about 1 MB; a curve has 100,000 at most.
MOST_ROWS = 1000


class CurveBuffer:
    """The rows of a trial's attempt, and which of them are known to be in the database.

    The training thread adds; any thread writes what is pending, and then acknowledges it. Rows come
    with rising validation numbers. What does not fit into memory is kept in a file without a name,
    which goes with the process, whatever ends it.
    """

    def __init__(self, spill_folder: Path | str | None = None) -> None:
        """`spill_folder` is of this machine; None: the one for temporary files."""
        self._folder = spill_folder
        self._lock = Lock()
        #: The oldest rows as JSON lines, the first `_spilled` of them whole; then those in memory.
        self._file: FileIO | None = None
        self._size = self._spilled = 0
        self._spilled_through = 0
        self._rows: list[Validation] = []
        self._most = MOST_ROWS
        #: The last number that was acknowledged.
        self._through = 0
        self._taken = 0
        self._warned = False

    def add(self, row: Validation) -> None:
        """Take a row."""
        with self._lock:
            self._rows.append(row)
            self._taken += 1
            if len(self._rows) > self._most:
                self._spill()

    def pending(self) -> list[Validation]:
        """All rows that were not acknowledged, in order.

        Raises OSError if spilled rows cannot be read back: the trial's last checkpoint has them.
        """
        with self._lock:
            spilled = self._read() if self._spilled_through > self._through else []
            return [row for row in [*spilled, *self._rows] if self._waits(row)]

    def everything(self) -> list[Validation]:
        """All rows, in order. Raises OSError as `pending` does."""
        with self._lock:
            return [*self._read(), *self._rows]

    @property
    def taken(self) -> int:
        """How many rows there are, acknowledged or not."""
        with self._lock:
            return self._taken

    def acknowledge(self, through: int) -> None:
        """Rows up to this validation number are in the database."""
        with self._lock:
            self._through = max(self._through, through)

    def __len__(self) -> int:
        """How many rows wait, those counted that a partly acknowledged file still holds."""
        with self._lock:
            spilled = self._spilled if self._spilled_through > self._through else 0
            return spilled + sum(self._waits(row) for row in self._rows)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._close_file()

    def _waits(self, row: Validation) -> bool:
        return row.validation > self._through

    def _spill(self) -> None:
        """Move the rows in memory to the end of the file; they stay here if the disk is full."""
        lines = b"".join(json.dumps(row.to_dict()).encode() + b"\n" for row in self._rows)
        try:
            if self._file is None:
                self._file = self._new_file()
            self._file.seek(self._size)  # over what a write to a full disk has left
            rest = memoryview(lines)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._most += MOST_ROWS  # try again when there is as much once more
            if not self._warned:
                log.warning("curve rows stay in memory, as the disk takes none: %s", error)
            self._warned = True
            return
        self._size += len(lines)
        self._spilled += len(self._rows)
        self._spilled_through = self._rows[-1].validation
        self._rows, self._most = [], MOST_ROWS

    def _new_file(self) -> FileIO:
        if self._folder is not None:
            make_private_folder(Path(self._folder))
        # Unbuffered: a buffer would keep what a full disk refused, and fail again at each use.
        return tempfile.TemporaryFile("w+b", buffering=0, dir=self._folder)

    def _read(self) -> list[Validation]:
        if self._file is None:
            return []
        self._file.seek(0)
        lines = self._file.read()[: self._size].splitlines()
        return [Validation.from_dict(json.loads(line)) for line in lines]

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._size, self._spilled = None, 0, 0
