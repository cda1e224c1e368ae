"""How connections to a database are made.

SQLite runs in WAL mode with a 60 s busy timeout (measured: 0 lock errors at 32 workers, against 7
with Optuna's defaults); PostgreSQL keeps everything in the schema `lrsearch`, sessions in UTC.
"""

import sqlite3
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psycopg
import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from lrsearch.errors import StorageError, StudyError
from lrsearch.plain_data import Document
from lrsearch.storage import postgresql
from lrsearch.storage.location import Location
from lrsearch.storage.moments import Trouble, complaint, is_orphaned, moment_of, trouble_of
from lrsearch.storage.outages import Outage, Patience
from lrsearch.storage.rows import read_json
from lrsearch.storage.sqlite_file import SqliteFile

T = TypeVar("T")

#: How long SQLite itself waits for another process's transaction.
BUSY_TIMEOUT_SECONDS = 60.0


class Database:
    """An engine for our own queries, and what Optuna needs to open the same database."""

    def __init__(self, location: Location, *, busy_seconds: float = BUSY_TIMEOUT_SECONDS) -> None:
        self.location = location
        self.busy_seconds = busy_seconds
        self.is_sqlite = location.url.get_backend_name() == "sqlite"
        self._file = self._sqlite_file() if self.is_sqlite else None
        # Optuna runs str.format on its URL, so it gets one without anything of the user's.
        if self._file is None:
            self.optuna_url, self.engine_kwargs = self._postgresql()
        else:
            self.optuna_url = "sqlite:///lrsearch.db"
            self.engine_kwargs = {"creator": self._file.open}
        self.engine: Engine = sqlalchemy.create_engine(
            self.optuna_url, json_deserializer=read_json, **self.engine_kwargs
        )
        weakref.finalize(self, self.engine.dispose)
        self._begin = self.engine.begin
        if self._file is not None:
            event.listen(self.engine, "begin", self._file.begin)
        else:
            event.listen(self.engine, "checkout", postgresql.check)
        #: How long `run` repeats a transaction while the database is out of reach: not at all,
        #: until a worker says so.
        self.patience = Patience(seconds=0)
        #: Transactions tried: it rises while one waits for the database.
        self.tries = 0
        #: An item for each session that was opened. After a new one the database may be another,
        #: which lacks what was read before.
        self.sessions: list[None] = []
        opened = self.sessions.append  # no reference to this object, which the engine would keep
        event.listen(self.engine, "connect", lambda *connected: opened(None))
        self._outage = Outage()

    @property
    def path(self) -> Path | None:
        """The SQLite file."""
        return None if self._file is None else self._file.path

    def another(self) -> "Database":
        """The same database for another thread; an SQLite file has to be the same one."""
        other = Database(self.location)
        if self._file is not None and other._file is not None:
            other._file.known = self._file.known
        return other

    def _sqlite_file(self) -> SqliteFile:
        path = Path(str(self.location.url.database)).absolute()
        return SqliteFile(
            path,
            busy_seconds=self.busy_seconds,
            shown=str(self.location),
            reads_only=self.location.reads_only,
        )

    def _postgresql(self) -> tuple[str, Document]:
        url, reads_only = self.location.url, self.location.reads_only
        arguments = {"creator": lambda: postgresql.open_session(url, reads_only=reads_only)}
        return "postgresql+psycopg://", arguments

    def set_wal(self) -> None:
        """Put an SQLite file in WAL mode, which it keeps; other databases need nothing."""
        if self._file is not None:
            self._file.set_wal()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One unit of work: everything in it is committed, or nothing.

        Raises StorageError for what a database may be in (see `moments`).
        """
        with self._in_one_line(), self._begin() as connection:
            yield connection

    @contextmanager
    def _in_one_line(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, psycopg.Error, sqlite3.Error, MemoryError) as error:
            if is_orphaned(error):
                raise StudyError(f"storage {self.location}: the study was deleted") from error
            if moment_of(error) is None:
                raise  # a mistake of ours in a statement
            raise explain(error, self) from error

    def run(
        self,
        work: Callable[[Connection], T],
        *,
        recall: Callable[[Connection], T | None] | None = None,
        answer_seconds: float = postgresql.ANSWER_SECONDS,
        patience: Patience | None = None,
    ) -> T:
        """The result of `work` in a transaction, tried again while the database is out of reach.

        A commit whose acknowledgement was lost may have been done. So before `work` is tried again
        `recall` looks whether it was: unless it gives None, its answer is the result. A server that
        says nothing for `answer_seconds` counts as out of reach. Raises StorageError when patience
        (the database's own unless given) ends, StudyError if the study was deleted meanwhile.
        """
        again = False
        session: postgresql.Identity | postgresql.Transaction | None = None

        def once() -> T:
            nonlocal again, session
            with self._begin() as connection:
                if session is not None:
                    postgresql.end(connection, session)
                found = recall(connection) if again and recall is not None else None
                again, session = True, postgresql.identity(connection)
                return work(connection) if found is None else found

        return self._patiently(once, answer_seconds, patience)

    def look(
        self,
        work: Callable[[Connection], T],
        *,
        answer_seconds: float = postgresql.ANSWER_SECONDS,
        patience: Patience | None = None,
    ) -> T:
        """The result of `work`, which only reads (see `read`), tried again as in `run`."""

        def once() -> T:
            with self._look() as connection:
                return work(connection)

        return self._patiently(once, answer_seconds, patience)

    def _patiently(
        self, once: Callable[[], T], answer_seconds: float, patience: Patience | None
    ) -> T:
        def attempt() -> T:
            self.tries += 1
            try:
                return once()
            except DBAPIError as error:
                if trouble_of(error) is Trouble.READ_ONLY:
                    self.engine.dispose()  # sessions stay as they began; new ones may write
                raise

        patience = patience or self.patience
        before = postgresql.answer_seconds.set(answer_seconds)
        before_ending = postgresql.asked_to_end.set(patience.give_up)
        try:
            with self._in_one_line():
                result: T = patience.retrying(self._outage)(attempt)
        finally:
            postgresql.answer_seconds.reset(before)
            postgresql.asked_to_end.reset(before_ending)
        self._outage.end()
        return result

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent look at the data, all of one moment, that holds up no writer.

        Raises StorageError as `begin` does.
        """
        with self._in_one_line(), self._look() as connection:
            yield connection

    @contextmanager
    def _look(self) -> Iterator[Connection]:
        one_moment = (
            {"readonly": True} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        )
        with self.engine.connect() as connection:
            yield connection.execution_options(**one_moment)

    def close(self) -> None:
        self.engine.dispose()


def explain(error: Exception, database: Database) -> StorageError:
    """A driver's error as one that says which database and what to do."""
    return StorageError(f"storage {database.location}: {complaint(error)}")


@contextmanager
def explained(database: Database) -> Iterator[None]:
    """Turns whatever SQLAlchemy or its drivers raise inside into StorageError."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, psycopg.Error) as error:
        raise explain(error, database) from error
