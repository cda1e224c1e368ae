"""Our schema: made once under a lock, upgraded by our own Alembic history."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock
from sqlalchemy import Connection, inspect, text

from lrsearch.errors import StorageError
from lrsearch.storage.database import Database
from lrsearch.storage.postgresql import SCHEMA, unhurried

VERSION_TABLE = "lr_alembic_version"
#: Key of the PostgreSQL advisory lock under which the schema is made: "lrsearch" as a number.
LOCK_KEY = int.from_bytes(b"lrsearch"[:7])
LOCK_SECONDS = 60


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def head() -> str:
    """The newest revision that this version knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def revision(connection: Connection) -> str | None:
    """The revision of the database's lrsearch tables; None where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def is_current(connection: Connection) -> bool:
    """Whether the tables are as this version needs them. Raises StorageError if they are newer."""
    found = revision(connection)
    if found is None:
        return False
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found not in known:
        raise StorageError(
            f"the database has lrsearch schema {found}, newer than this version's {head()}; "
            f"update lrsearch on this machine"
        )
    return found == head()


@contextmanager
def creation_lock(database: Database) -> Iterator[None]:
    """Held by one process at a time while it makes or upgrades the schema."""
    if database.path is not None:
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
    with database.engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
        try:
            # IF NOT EXISTS would need the right to create schemas even where it exists.
            if not inspect(connection).has_schema(SCHEMA):
                connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
            connection.commit()
            yield
        finally:
            connection.rollback()  # else what failed hides behind the unlocking, which would too
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})


def upgrade(connection: Connection) -> None:
    """Bring our tables to this version's revision; Optuna's must be there already."""
    config = _config()
    config.attributes["connection"] = connection
    with unhurried(connection):
        command.upgrade(config, "head")
