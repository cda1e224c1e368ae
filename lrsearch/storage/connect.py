"""Which database, and how connections to it are made.

SQLite runs in WAL mode with a 60 s busy timeout (measured: 0 lock errors at 32 workers, against 7
with Optuna's defaults); PostgreSQL keeps everything in the schema `lrsearch`, sessions in UTC.
"""

import os
import sqlite3
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from lrsearch.errors import StorageError
from lrsearch.storage.outages import Patience

T = TypeVar("T")

DEFAULT_URL = "sqlite:///lrsearch.db"
#: On PostgreSQL, the schema that holds our tables and Optuna's; nothing else is touched.
SCHEMA = "lrsearch"
BUSY_TIMEOUT_SECONDS = 60
#: An unreachable server is reported within 5 seconds at start, name resolution included.
CONNECT_TIMEOUT_SECONDS = 3


@dataclass(frozen=True, kw_only=True)
class Location:
    """A database URL and where it was named."""

    url: URL
    source: str

    def __str__(self) -> str:
        url = self.url.set(drivername=self.url.get_backend_name(), password=None)
        return f"{url.render_as_string()} ({self.source})"


def locate(option: str | None) -> Location:
    """The database: `--storage`, LRSEARCH_STORAGE, LRSEARCH_STORAGE_FILE, lrsearch.toml, default.

    Raises StorageError for a URL that cannot be read, another kind of database, or a password on
    the command line, where every user of the machine could read it.
    """
    text, source = _named_url(option)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise StorageError(
            f"storage from {source} is no database URL; accepted: sqlite:///FILE, "
            f"postgresql://USER@HOST/DATABASE"
        ) from error
    if option is not None and url.password:
        raise StorageError(
            "--storage must not hold a password, others can read it; use PGPASSFILE, PGPASSWORD, "
            "LRSEARCH_STORAGE or LRSEARCH_STORAGE_FILE"
        )
    backend = url.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return Location(url=url.set(drivername="postgresql+psycopg"), source=source)
    if backend != "sqlite":
        raise StorageError(f"storage {backend}:// is not supported; use sqlite or postgresql")
    if not url.database or url.database == ":memory:":
        raise StorageError("storage needs a file that workers can share: sqlite:///FILE")
    return Location(url=url.set(drivername="sqlite"), source=source)


def _named_url(option: str | None) -> tuple[str, str]:
    if option is not None:
        return option, "--storage"
    if text := os.environ.get("LRSEARCH_STORAGE"):
        return text, "LRSEARCH_STORAGE"
    if file := os.environ.get("LRSEARCH_STORAGE_FILE"):
        try:
            return Path(file).read_text(encoding="utf-8").strip(), "LRSEARCH_STORAGE_FILE"
        except OSError as error:
            raise StorageError(f"LRSEARCH_STORAGE_FILE {file}: {error.strerror}") from error
    here = Path.cwd()
    for folder in (here, *here.parents):
        path = folder / "lrsearch.toml"
        if path.is_file():
            return _from_toml(path), str(path)
    return DEFAULT_URL, "default"


def _from_toml(path: Path) -> str:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise StorageError(f"{path}: {error}") from error
    storage = content.get("storage")
    if not isinstance(storage, str):
        raise StorageError(f'{path} has no `storage`; write storage = "{DEFAULT_URL}"')
    return storage


class Database:
    """An engine for our own queries, and what Optuna needs to open the same database."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self.is_sqlite = location.url.get_backend_name() == "sqlite"
        # Optuna runs str.format on its URL, so it gets one without anything of the user's.
        self.optuna_url, self.engine_kwargs = (
            self._sqlite() if self.is_sqlite else self._postgresql()
        )
        self.engine: Engine = sqlalchemy.create_engine(self.optuna_url, **self.engine_kwargs)
        if self.is_sqlite:
            event.listen(self.engine, "begin", _begin_immediate)
        #: How long `run` repeats a transaction while the database is out of reach: not at all,
        #: until a worker says so.
        self.patience = Patience(seconds=0)

    @property
    def path(self) -> Path | None:
        """The SQLite file."""
        return Path(str(self.location.url.database)).absolute() if self.is_sqlite else None

    def _sqlite(self) -> tuple[str, dict[str, Any]]:
        return "sqlite:///lrsearch.db", {"creator": self._open_sqlite}

    def _open_sqlite(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            str(self.path), timeout=BUSY_TIMEOUT_SECONDS, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")  # else deleting a study leaves our rows
        return connection

    def _postgresql(self) -> tuple[str, dict[str, Any]]:
        url = self.location.url
        given = url.query.get("options", "")
        options = f"{given} -c search_path={SCHEMA}".strip()
        arguments: dict[str, Any] = {
            "options": options,
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            **{key: value for key, value in url.query.items() if key != "options"},
            "host": url.query.get("host", url.host),
            "port": url.port,
            "user": url.username,
            "password": url.password,
            "dbname": url.database,
        }
        arguments = {key: value for key, value in arguments.items() if value is not None}

        def open_postgresql() -> psycopg.Connection:
            connection = psycopg.connect(**arguments)
            # Not among the options above: PGTZ in the environment would override it.
            connection.execute("SET TIME ZONE 'UTC'")
            connection.commit()
            return connection

        return "postgresql+psycopg://", {"creator": open_postgresql, "pool_pre_ping": True}

    def set_wal(self) -> None:
        """Put an SQLite file in WAL mode, which it keeps; other databases need nothing."""
        if self.is_sqlite:
            with closing(self._open_sqlite()) as connection:
                connection.execute("PRAGMA journal_mode = WAL")

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One unit of work: everything in it is committed, or nothing."""
        with self.engine.begin() as connection:
            yield connection

    def run(
        self,
        work: Callable[[Connection], T],
        *,
        recall: Callable[[Connection], T | None] | None = None,
    ) -> T:
        """The result of `work` in a transaction, tried again while the database is out of reach.

        A commit whose acknowledgement was lost may have been done. So before `work` is tried again
        `recall` looks whether it was: unless it gives None, its answer is the result.
        """
        again = False
        for attempt in self.patience.attempts():
            with attempt, self.begin() as connection:
                found = recall(connection) if again and recall is not None else None
                again = True
                return work(connection) if found is None else found
        raise AssertionError("attempts end with a result or an error")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent look at the data, all of one moment, that holds up no writer."""
        one_moment = (
            {"readonly": True} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        )
        with self.engine.connect() as connection:
            yield connection.execution_options(**one_moment)

    def close(self) -> None:
        self.engine.dispose()


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail at once when another process
    # wrote in between; taking the write lock at its start waits instead.
    readonly = connection.get_execution_options().get("readonly", False)
    connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")


def complaint(error: SQLAlchemyError) -> str:
    """A driver's error on one line, and what to do about it."""
    reason = " ".join(str(getattr(error, "orig", None) or error).split())
    hints = {
        "unable to open database file": "does its folder exist, and may you write there?",
        "readonly database": "the file or its folder is read-only",
        "file is not a database": "the file is something else; name another",
        "is full": "the disk is full; free some space and run the same command again",
        "disk I/O error": "is the disk full or gone?",
    }
    hint = next((text for key, text in hints.items() if key in reason), None)
    return f"{reason}; {hint}" if hint else reason


def explain(error: SQLAlchemyError, database: Database) -> StorageError:
    """A driver's error as one that says which database and what to do."""
    return StorageError(f"storage {database.location}: {complaint(error)}")


@contextmanager
def explained(database: Database) -> Iterator[None]:
    """Turns whatever SQLAlchemy or its drivers raise inside into StorageError."""
    try:
        yield
    except SQLAlchemyError as error:
        raise explain(error, database) from error
    except sqlite3.Error as error:
        raise explain(SQLAlchemyError(str(error)), database) from error
