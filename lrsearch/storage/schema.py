"""Our schema: made once under a lock, upgraded by our own Alembic history."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from lrsearch.errors import StorageError
from lrsearch.storage.database import Database
from lrsearch.storage.postgresql import SCHEMA, unhurried

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "lr_alembic_version"
#: The newest revision of `migrations/` and so of this version; Alembic is loaded to go there only.
HEAD = "013"
#: Key of the PostgreSQL advisory lock under which the schema is made: "lrsearch" as a number.
LOCK_KEY = int.from_bytes(b"lrsearch"[:7])
LOCK_SECONDS = 60


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def revisions() -> set[str]:
    """Every revision that this version knows."""
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def revision(connection: Connection) -> str | None:
    """The revision of the database's lrsearch tables; None where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    return found


def is_current(connection: Connection) -> bool:
    """Whether the tables are as this version needs them. Raises StorageError if they are newer."""
    found = revision(connection)
    if found is not None and found != HEAD and found not in revisions():
        raise StorageError(
            f"the database has lrsearch schema {found}, newer than this version's {HEAD}; "
            f"update lrsearch on this machine"
        )
    return found == HEAD


@contextmanager
def creation_lock(database: Database) -> Iterator[None]:
    """Held by one process at a time while it makes or upgrades the schema."""
    if database.path is not None:
        from filelock import FileLock

        lock = FileLock(f"{database.path}.lock", timeout=LOCK_SECONDS)
        try:
            with lock:
                try:
                    yield
                finally:
                    # Those who wait for it see that it is gone and lock a new one.
                    Path(lock.lock_file).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"storage {database.location}: cannot write in {database.path.parent}: "
                f"{error.strerror or error}"
            ) from error
        return
    # Of a transaction, not of a session: behind a pooler that is another client's by then.
    with database.engine.begin() as waiting:
        waiting.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        with unhurried(waiting):
            with database.engine.begin() as connection:
                # IF NOT EXISTS would need the right to create schemas even where it exists.
                if not inspect(connection).has_schema(SCHEMA):
                    connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
            yield


def upgrade(database: Database) -> None:
    """Bring our tables to this version's revision; Optuna's must be there already."""
    from alembic import command

    config = _config()
    with _unchecked(database) as connection, unhurried(connection):
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _unchecked(database: Database) -> Iterator[Connection]:
    """One transaction; on SQLite, where a table that is made anew is dropped, without foreign keys.

    Else what refers to its rows would be deleted with it.
    """
    with database.engine.connect() as connection:
        session = connection.connection.driver_connection
        if not isinstance(session, sqlite3.Connection):
            with connection.begin():
                yield connection
            return
        session.execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.begin():
                yield connection
        finally:
            session.execute("PRAGMA foreign_keys = ON")
