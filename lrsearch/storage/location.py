"""Which database: where its URL is named, and what of the URL may be shown."""

import logging
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from lrsearch.errors import StorageError
from lrsearch.storage import settings_file

log = logging.getLogger("lrsearch")

DEFAULT_URL, DEFAULT_SOURCE = "sqlite:///lrsearch.db", "default"
#: The options of the command line that name a database.
OPTION, READ_OPTION = "--storage", "--read-storage"
#: The variable that names the one to read from.
READ_VARIABLE = "LRSEARCH_READ_STORAGE"
#: Parts of a URL's query that nobody may read.
SECRETS = ("password", "sslpassword")


@dataclass(frozen=True, kw_only=True, repr=False)
class Location:
    """A database URL and where it was named."""

    url: URL
    source: str
    #: Whether nothing is written there: a session refuses it.
    reads_only: bool = False

    @property
    def is_default(self) -> bool:
        """Whether nobody has named it."""
        return self.source == DEFAULT_SOURCE

    @property
    def shown(self) -> str:
        """The URL without a password."""
        url = self.url.set(drivername=self.url.get_backend_name())
        hidden = {key: "***" for key in SECRETS if key in url.query}
        return url.update_query_dict(hidden).render_as_string()

    def __str__(self) -> str:
        return f"{self.shown} ({self.source})"

    __repr__ = __str__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a storage location is not pickled: it may hold a password")


@dataclass(frozen=True, kw_only=True, repr=False)
class _Named:
    """A URL as it was named, which may hold a password, and where."""

    text: str
    source: str
    #: Beside it, the URL of a copy to read from.
    read: str | None = None


def locate(option: str | None, *, tell: bool = True) -> Location:
    """The database: `--storage`, LRSEARCH_STORAGE, LRSEARCH_STORAGE_FILE, lrsearch.toml, default.

    An lrsearch.toml that another user could have written is ignored, and a line in the log says so
    where `tell`. Raises StorageError for a URL that cannot be read, another kind of database, or a
    password on the command line, where every user of the machine could read it.
    """
    return _location(_named(option, tell=tell))


def locate_to_read(option: str | None, read_option: str | None) -> Location:
    """The database for who only reads, which may be a copy of the one that workers write.

    It is the first of `--read-storage`, `--storage`, LRSEARCH_READ_STORAGE, and `read_storage` in
    the lrsearch.toml that names the database; else that of `locate`. Raises StorageError as that.
    """
    if read_option is not None:
        return _location(_Named(text=read_option, source=READ_OPTION), reads_only=True)
    if option is None and (text := os.environ.get(READ_VARIABLE)):
        return _location(_Named(text=text, source=READ_VARIABLE), reads_only=True)
    named = _named(option, tell=True)
    if named.read is None:
        return _location(named)
    return _location(_Named(text=named.read, source=named.source), reads_only=True)


def _named(option: str | None, *, tell: bool) -> _Named:
    if option is not None:
        return _Named(text=option, source=OPTION)
    if text := os.environ.get("LRSEARCH_STORAGE"):
        return _Named(text=text, source="LRSEARCH_STORAGE")
    if file := os.environ.get("LRSEARCH_STORAGE_FILE"):
        try:
            text = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise StorageError(f"LRSEARCH_STORAGE_FILE {file}: {error.strerror}") from error
        return _Named(text=text, source="LRSEARCH_STORAGE_FILE")
    for path in settings_file.sought(Path.cwd()):
        try:
            found = settings_file.storage_in(path)
        except settings_file.ForeignFileError as error:
            if tell:
                _warn(str(error))
        else:
            return _Named(text=found.storage, source=str(path), read=found.read_storage)
    return _Named(text=DEFAULT_URL, source=DEFAULT_SOURCE)


@cache
def _warn(text: str) -> None:
    """Say it once."""
    log.warning("%s", text)


def _location(named: _Named, *, reads_only: bool = False) -> Location:
    source = named.source
    try:
        url = make_url(named.text)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise StorageError(
            f"storage from {source} is no database URL; accepted: sqlite:///FILE, "
            f"postgresql://USER@HOST/DATABASE"
        ) from error
    is_typed = source in (OPTION, READ_OPTION)
    if is_typed and (url.password or any(key in url.query for key in SECRETS)):
        variables = "LRSEARCH_STORAGE or LRSEARCH_STORAGE_FILE"
        raise StorageError(
            f"{source} must not hold a password, others can read it; use PGPASSFILE, PGPASSWORD, "
            f"{variables if source == OPTION else f'or {READ_VARIABLE}'}"
        )
    backend = url.get_backend_name()
    if backend in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    elif backend != "sqlite":
        raise StorageError(f"storage {backend}:// is not supported; use sqlite or postgresql")
    elif not url.database or url.database == ":memory:":
        raise StorageError("storage needs a file that workers can share: sqlite:///FILE")
    else:
        url = url.set(drivername="sqlite")
    return Location(url=url, source=source, reads_only=reads_only)
