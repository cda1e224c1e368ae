"""An SQLite database's file: how it is opened, and that it is still the same one."""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection

from lrsearch.errors import StorageError
from lrsearch.private_files import make_private_file


class SqliteFile:
    """The file of one `Database`."""

    def __init__(
        self, path: Path, *, busy_seconds: float, shown: str, reads_only: bool = False
    ) -> None:
        """`busy_seconds` is how long SQLite itself waits for another process's transaction.

        `shown` names the database in errors. With `reads_only` its connections refuse to write.
        """
        self.path, self.busy_seconds, self.shown = path, busy_seconds, shown
        self.reads_only = reads_only
        #: Device and inode, once a transaction has begun in it.
        self.known: tuple[int, int] | None = None

    def open(self) -> sqlite3.Connection:
        """A new connection. Raises StorageError if the file was moved or replaced."""
        self.look()  # SQLite would make a new one
        make_private_file(self.path)  # its -wal and -shm get its mode
        connection = sqlite3.connect(
            str(self.path), timeout=self.busy_seconds, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")  # else deleting a study leaves our rows
        if self.reads_only:
            connection.execute("PRAGMA query_only = ON")
        return connection

    def set_wal(self) -> None:
        """Put the file in WAL mode, which it keeps; it is made if it is not there."""
        with closing(self.open()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")

    def begin(self, connection: Connection) -> None:
        """Begin a transaction. Raises StorageError as `look` does.

        One that reads first and writes later would fail at once when another process wrote in
        between; taking the write lock at its start waits instead.
        """
        self.look()
        readonly = connection.get_execution_options().get("readonly", False)
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")

    def look(self) -> None:
        """Raises StorageError if it is not the file of the transactions before.

        What is written into a file that was removed is gone; another file is another database.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            if self.known is None:
                return  # it is about to be made
            raise self._gone("was moved or removed") from None
        if self.known not in (None, (found.st_dev, found.st_ino)):
            raise self._gone("was replaced by another file")
        self.known = found.st_dev, found.st_ino

    def _gone(self, how: str) -> StorageError:
        return StorageError(
            f"storage {self.shown}: the file {how} while it was in use, and what was written since "
            f"may be lost; put it back with its -wal file, then run the same command again"
        )
