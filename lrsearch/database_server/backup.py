"""One file that holds a whole database: made while workers go on, restored into an empty one."""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL

from lrsearch.database_server.programs import Programs, find_programs
from lrsearch.errors import StorageError
from lrsearch.private_files import make_private_file
from lrsearch.storage import schema
from lrsearch.storage.database import Database, explained
from lrsearch.storage.postgresql import SCHEMA

#: A table that every database of lrsearch has, and no other.
MARK = "lr_alembic_version"
#: How the files begin that SQLite and pg_dump write.
SQLITE, POSTGRESQL = b"SQLite format 3\x00", b"PGDMP"


def back_up(database: Database, file: Path, *, programs: Path | None = None) -> None:
    """Write the database as of one moment into a new file; workers may go on meanwhile.

    `programs` is the folder of `pg_dump`. Raises StorageError if the file exists or cannot be
    written.
    """
    if file.exists():
        raise StorageError(f"{file} exists; name a new file")
    part = file.with_name(f"{file.name}.part")
    try:
        part.unlink(missing_ok=True)
        make_private_file(part)
        if not part.exists():
            raise StorageError(f"{file}: no file can be made in {file.parent.absolute()}")
        if database.path is not None:
            _copy_sqlite(database.path, part)
        else:
            _dump(database.location.url, part, find_programs(programs))
        part.rename(file)
    except OSError as error:
        raise StorageError(f"{file}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def restore(database: Database, file: Path, *, programs: Path | None = None) -> None:
    """Put a backup into a database that holds no tables of lrsearch yet.

    `programs` is the folder of `pg_restore`. Raises StorageError if the file is no backup, is one
    of another kind of database, or the database holds studies' tables.
    """
    kind = _kind(file)
    wanted = POSTGRESQL if database.path is None else SQLITE
    if kind != wanted:
        names = {SQLITE: "sqlite:///FILE", POSTGRESQL: "postgresql://USER@HOST/DATABASE"}
        raise StorageError(
            f"{file} was made of another kind of database; restore it with --storage {names[kind]}"
        )
    if database.path is not None:
        if database.path.exists():
            raise StorageError(f"{database.path} exists; a backup is restored into a new file")
        part = database.path.with_name(f"{database.path.name}.part")
        part.unlink(missing_ok=True)
        make_private_file(part)
        try:
            _copy_sqlite(file, part)
            part.rename(database.path)
        finally:
            part.unlink(missing_ok=True)
        return
    with explained(database), database.read() as connection:
        if schema.revision(connection) is not None:
            raise StorageError(
                f"storage {database.location} holds lrsearch's tables already; a backup is "
                f"restored into an empty database"
            )
    _load(database.location.url, file, find_programs(programs))


def _kind(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            start = stream.read(len(SQLITE))
    except OSError as error:
        raise StorageError(f"{file}: {error.strerror}") from error
    for kind in (SQLITE, POSTGRESQL):
        if start.startswith(kind):
            return kind
    raise StorageError(f"{file} is no backup; `lrsearch db backup FILE` makes one")


def _copy_sqlite(source: Path, target: Path) -> None:
    """SQLite's own online copy, which takes in what stands in the write-ahead log alone."""
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
            (found,) = new.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise StorageError(f"{source} is damaged: {found}")
            new.execute(f"SELECT 1 FROM {MARK}").fetchone()
    except sqlite3.Error as error:
        raise StorageError(f"{source} is no whole database of lrsearch: {error}") from error


def _dump(url: URL, file: Path, programs: Programs) -> None:
    arguments = ("--format=custom", f"--schema={SCHEMA}", "--no-owner", f"--file={file.absolute()}")
    programs.run("pg_dump", *arguments, *_connection(url), env=_password(url), seconds=None)


def _load(url: URL, file: Path, programs: Programs) -> None:
    how = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")
    source = file.absolute()
    if f" {SCHEMA} {MARK} " not in programs.run("pg_restore", "--list", source):
        raise StorageError(f"{file} is no backup of lrsearch's tables")
    programs.run("pg_restore", *how, *_connection(url), source, env=_password(url), seconds=None)


def _connection(url: URL) -> tuple[str, ...]:
    """The database as one option in libpq's words, its query's options included; no password."""
    parts = {"host": url.host, "port": url.port, "user": url.username, "dbname": url.database}
    query = {key: value for key, value in url.query.items() if key != "password"}
    words = {key: str(value) for key, value in {**query, **parts}.items() if value is not None}
    escaped = {key: text.replace("\\", r"\\").replace("'", r"\'") for key, text in words.items()}
    return ("--dbname", " ".join(f"{key}='{text}'" for key, text in escaped.items()))


def _password(url: URL) -> dict[str, str]:
    password = url.password or url.query.get("password")
    return {"PGPASSWORD": str(password)} if password else {}
