"""Opening the shared database: Optuna's tables and ours, made once under a lock."""

from lrsearch.errors import StorageError
from lrsearch.storage import grants, schema, studies
from lrsearch.storage.database import Database, explained
from lrsearch.storage.location import Location, locate
from lrsearch.storage.records import StudyRecord

#: Optuna's tables, and the one that says their version.
OPTUNAS_TABLES = (
    "studies",
    "version_info",
    "study_directions",
    "study_user_attributes",
    "study_system_attributes",
    "trials",
    "trial_user_attributes",
    "trial_system_attributes",
    "trial_params",
    "trial_values",
    "trial_intermediate_values",
    "trial_heartbeats",
    "alembic_version",
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
        if _exists(database) and _is_current(database):
            return False
        with schema.creation_lock(database):
            fresh = not _exists(database)
            try:
                if _is_current(database):
                    return False
                _create_tables(database)
            except Exception:
                if fresh:  # nothing half-made stays behind
                    _remove_file(database)
                raise
    return True


def _exists(database: Database) -> bool:
    """Whether there is a file, or a server that is asked."""
    return database.path is None or database.path.exists()


def _is_current(database: Database) -> bool:
    with database.read() as connection:
        return schema.is_current(connection)


def _create_tables(database: Database) -> None:
    from lrsearch.study.optuna.storage import optuna_storage  # Optuna: not for who only reads

    database.set_wal()
    optuna_storage(database, create=True).engine.dispose()
    schema.upgrade(database)


def grant_statements(admin: str, worker: str, reader: str) -> list[str]:
    """SQL that gives three PostgreSQL roles their rights on Optuna's tables and ours."""
    return list(grants.statements(admin, worker, reader, OPTUNAS_TABLES))


def _remove_file(database: Database) -> None:
    assert database.path is not None
    database.close()
    for suffix in ("", "-wal", "-shm"):
        database.path.with_name(database.path.name + suffix).unlink(missing_ok=True)


def open_database(option: str | Location | None, *, create: bool = False) -> Database:
    """The database that `--storage`, the environment or a file names, ready for use.

    `option` may also be what was located already. Without `create` it must hold lrsearch's tables.
    Raises StorageError in one line.
    """
    database = Database(option if isinstance(option, Location) else locate(option))
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


def stored_study(option: str | None, name: str) -> StudyRecord | None:
    """The study of this name; None where there is none, or no database of this version yet.

    Raises StorageError where the database cannot be asked.
    """
    database = Database(locate(option))
    if not _exists(database):
        return None
    with explained(database), database.read() as connection:
        return studies.by_name(connection, name) if schema.is_current(connection) else None
