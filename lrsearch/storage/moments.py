"""What a database's errors mean: one table of what passes by itself and what is final.

PostgreSQL tells by SQLSTATE (its Appendix A), SQLite by its result codes. A connection that fails
has neither: libpq gives words, in the server's language or the client's. They are not looked at.
Whoever has reached the database once waits; whoever has not is told at once.
"""

import sqlite3
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

import psycopg
from sqlalchemy.exc import DBAPIError


class Trouble(Enum):
    """Why a transaction that failed may succeed when it is tried again; how that is said."""

    BUSY = "is busy"  #: others were in the way
    AWAY = "does not answer"  #: no connection, or none that lasted, or nothing to work with
    READ_ONLY = "is read-only"  #: it takes no writes for now; new sessions may find otherwise
    FULL = "has no room"  #: no room on the database's disk; waited for without limit


class Moment(NamedTuple):
    """What an error means."""

    #: None: the same would fail again.
    trouble: Trouble | None
    #: What to do about it where nobody waits, or waited in vain.
    advice: str | None = None


BUSY, AWAY = Moment(Trouble.BUSY), Moment(Trouble.AWAY)
_AGAIN = "run the same command again when it is back"
_STARTED = Moment(Trouble.AWAY, f"the server starts or stops; {_AGAIN}")
_LOGIN = Moment(Trouble.AWAY, "see user and password (PGPASSFILE, PGPASSWORD) and pg_hba.conf")
_CROWDED = Moment(Trouble.AWAY, "raise the server's limit, or run fewer workers")
_DISK = Moment(Trouble.AWAY, "look at the server's log and its disk")
_DAMAGED = Moment(None, "the database is damaged; restore it from a backup")
_READ_ONLY = Moment(
    Trouble.READ_ONLY,
    "the server is a replica or in maintenance; name one that takes writes, or run the same "
    "command again when it does",
)

#: SQLSTATE insufficient_privilege, and foreign_key_violation: ours all lead to a study, or to a
#: trial of one.
FORBIDDEN, ORPHANED = "42501", "23503"
#: By SQLSTATE, or else its first two characters.
POSTGRESQL: Mapping[str, Moment] = {
    "08": AWAY,  # connection exceptions; 08P01 is a pooler's word for a server that is away
    "23503": Moment(None, "the study was deleted meanwhile"),
    "25006": _READ_ONLY,  # read_only_sql_transaction
    "25P03": BUSY,  # idle_in_transaction_session_timeout: this process had been stopped
    "25P04": BUSY,  # transaction_timeout
    "28": _LOGIN,  # invalid authorization: a password that was changed
    "3D000": Moment(Trouble.AWAY, "see the database's name"),  # invalid_catalog_name: renamed
    "40": BUSY,  # serialization failures and deadlocks
    "42501": Moment(None, "`lrsearch db grants` shows what each role may do"),
    "42P01": Moment(None, "`lrsearch db upgrade` makes the tables"),  # undefined_table
    "53": _CROWDED,  # insufficient_resources
    "53100": Moment(Trouble.FULL, "free some space on the server's disk"),  # disk_full
    "53200": Moment(Trouble.AWAY, "the server is out of memory"),  # out_of_memory
    "53300": _CROWDED,  # too_many_connections
    "53400": _CROWDED,  # configuration_limit_exceeded
    "55P03": BUSY,  # lock_not_available
    "57": AWAY,  # operator_intervention
    "57014": BUSY,  # query_canceled: by statement_timeout or by hand
    "57P01": _STARTED,  # admin_shutdown
    "57P02": _STARTED,  # crash_shutdown
    "57P03": _STARTED,  # cannot_connect_now
    "57P04": AWAY,  # database_dropped
    "57P05": AWAY,  # idle_session_timeout
    "58000": _DISK,  # system_error
    "58030": _DISK,  # io_error
    "58P": _DAMAGED,  # a file that is missing, or there twice
    "XX": _DAMAGED,  # internal_error, data_corrupted, index_corrupted
}

_FILE = Moment(Trouble.AWAY, "does its folder exist, and may you write there?")
_LOCKED_OUT = Moment(Trouble.READ_ONLY, "the file or its folder is read-only")
_NO_ROOM = Moment(Trouble.FULL, "the disk is full; free some space and run the same command again")
#: By SQLite's result code, the extended one or else its primary part.
SQLITE: Mapping[int, Moment] = {
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_PROTOCOL: BUSY,
    sqlite3.SQLITE_SCHEMA: BUSY,
    sqlite3.SQLITE_INTERRUPT: BUSY,
    sqlite3.SQLITE_NOMEM: Moment(Trouble.AWAY, "this machine is out of memory"),
    sqlite3.SQLITE_READONLY: _LOCKED_OUT,
    sqlite3.SQLITE_READONLY_DBMOVED: Moment(None, "the file was moved or removed"),
    sqlite3.SQLITE_IOERR: Moment(Trouble.AWAY, "is the disk full or gone?"),
    sqlite3.SQLITE_IOERR_SHMSIZE: _NO_ROOM,  # of a connection opened on a full disk
    sqlite3.SQLITE_FULL: _NO_ROOM,
    sqlite3.SQLITE_CANTOPEN: _FILE,
    sqlite3.SQLITE_PERM: Moment(None, "may you read and write it?"),
    sqlite3.SQLITE_AUTH: Moment(None, "may you read and write it?"),
    sqlite3.SQLITE_NOLFS: Moment(None, "its file system holds no files this large"),
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: Moment(None, "the file is something else; name another"),
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: Moment(None, "the study was deleted meanwhile"),
}


def moment_of(error: BaseException) -> Moment | None:
    """What an error of a database means; None for one that is a mistake in a statement."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0)
        return SQLITE.get(code, SQLITE.get(code & 0xFF))
    if isinstance(cause, MemoryError):  # what Python makes of SQLITE_NOMEM
        return SQLITE[sqlite3.SQLITE_NOMEM]
    if not isinstance(cause, psycopg.Error):
        return None
    if state := cause.sqlstate:
        return next((POSTGRESQL[s] for s in (state, state[:3], state[:2]) if s in POSTGRESQL), None)
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return AWAY if lost or isinstance(cause, psycopg.OperationalError) else None


def trouble_of(error: BaseException) -> Trouble | None:
    """What kind of trouble an error is; None if the same would fail again."""
    moment = moment_of(error)
    return None if moment is None else moment.trouble


def passes(error: BaseException) -> bool:
    """Whether an error, or the driver's behind it, may be gone when the same is tried again."""
    cause = error.__cause__
    return trouble_of(error) is not None or (cause is not None and trouble_of(cause) is not None)


def is_forbidden(error: BaseException) -> bool:
    """Whether the database's role has no right to what was asked."""
    return _sqlstate(error) == FORBIDDEN


def is_orphaned(error: BaseException) -> bool:
    """Whether a row was to be written that belongs to nothing: its study was deleted meanwhile."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", 0)
    return _sqlstate(error) == ORPHANED or code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY


def _sqlstate(error: BaseException) -> str | None:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def complaint(error: BaseException) -> str:
    """A driver's error on one line, and what to do about it."""
    reason = " ".join(str(getattr(error, "orig", None) or error).split()) or type(error).__name__
    moment = moment_of(error)
    if is_forbidden(error):
        reason = f"this role may not do that ({reason})"
    return f"{reason}; {moment.advice}" if moment and moment.advice else reason
