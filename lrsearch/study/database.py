"""Opening the shared database: Optuna's tables and ours, made once under a lock."""

import optuna

from lrsearch.errors import StorageError
from lrsearch.storage import schema
from lrsearch.storage.connect import Database, explained, locate


def optuna_storage(database: Database, *, create: bool = False) -> optuna.storages.RDBStorage:
    """Optuna's view of the database; with `create` it makes its tables."""
    return optuna.storages.RDBStorage(
        database.optuna_url,
        engine_kwargs=dict(database.engine_kwargs),
        skip_table_creation=not create,
    )


def prepare(database: Database) -> bool:
    """Make the schema or bring it up to date; safe when many processes start at once.

    Returns whether there was anything to do.
    """
    with explained(database):
        if database.path is not None and not database.path.parent.is_dir():
            raise StorageError(
                f"storage {database.location}: the folder {database.path.parent} does not exist"
            )
        with database.read() as connection:
            if schema.is_current(connection):
                return False
        with schema.creation_lock(database):
            with database.read() as connection:
                if schema.is_current(connection):
                    return False
            _create_tables(database)
    return True


def _create_tables(database: Database) -> None:
    fresh = database.path is not None and database.path.stat().st_size == 0
    try:
        optuna_storage(database, create=True).engine.dispose()
        with database.begin() as connection:
            schema.upgrade(connection)
    except Exception:
        if fresh and database.path is not None:  # nothing half-made stays behind
            database.close()
            for suffix in ("", "-wal", "-shm"):
                database.path.with_name(database.path.name + suffix).unlink(missing_ok=True)
        raise


def open_database(option: str | None, *, create: bool = False) -> Database:
    """The database that `--storage`, the environment or a file names, ready for use.

    Without `create` it must hold lrsearch's tables already. Raises StorageError in one line.
    """
    database = Database(locate(option))
    if create:
        prepare(database)
        return database
    missing = f"storage {database.location} holds no studies; `lrsearch run FILE` creates one"
    if database.path is not None and not database.path.exists():
        raise StorageError(missing)
    with explained(database), database.read() as connection:
        if schema.revision(connection) is None:
            raise StorageError(missing)
        if not schema.is_current(connection):
            raise StorageError(
                f"storage {database.location} was made by an older version; run `lrsearch db "
                f"upgrade`"
            )
    return database
