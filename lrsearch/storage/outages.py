"""What of a database's trouble passes by itself, and how long one waits for it."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import psycopg
from sqlalchemy.exc import DBAPIError
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

log = logging.getLogger("lrsearch")

#: A database may be gone for so long before a worker gives up.
WINDOW_SECONDS = 600.0
#: Longest pause between two attempts; each is drawn at random below a limit that doubles.
LONGEST_PAUSE = 5.0
#: What a failed attempt counts at most: 90 s without an answer, and the pause. A process that was
#: stopped for an hour meanwhile has not waited for an hour.
LONGEST_ATTEMPT = 100.0
#: How often it is said that one still waits.
TELL_SECONDS = 60.0
#: How often a process that waits looks whether to give up.
LOOK_SECONDS = 0.2


class Trouble(Enum):
    """Why a transaction that failed may succeed when it is tried again."""

    BUSY = "busy"  #: others were in the way
    AWAY = "away"  #: no connection, or none that lasted
    FULL = "full"  #: no room on the database's disk; waited for without limit


#: By SQLSTATE, or its first two characters (PostgreSQL's Appendix A).
_POSTGRESQL = {
    "08": Trouble.AWAY,  # connection exceptions
    "25P03": Trouble.BUSY,  # idle_in_transaction_session_timeout: this process had been stopped
    "25P04": Trouble.BUSY,  # transaction_timeout
    "40": Trouble.BUSY,  # serialization failures and deadlocks
    "53100": Trouble.FULL,  # disk_full
    "53200": Trouble.AWAY,  # out_of_memory
    "53300": Trouble.AWAY,  # too_many_connections
    "55P03": Trouble.BUSY,  # lock_not_available
    "57014": Trouble.BUSY,  # query_canceled: by statement_timeout
    "57P01": Trouble.AWAY,  # admin_shutdown
    "57P02": Trouble.AWAY,  # crash_shutdown
    "57P03": Trouble.AWAY,  # cannot_connect_now
    "57P05": Trouble.AWAY,  # idle_session_timeout
    "58030": Trouble.AWAY,  # io_error
}
#: SQLSTATE insufficient_privilege.
FORBIDDEN = "42501"
#: SQLSTATE foreign_key_violation: ours all lead to a study, or to a trial of one.
ORPHANED = "23503"
#: What a server says, in English, of connections that it will never accept. libpq gives no SQLSTATE
#: of a connection that failed; where it speaks another language, one waits in vain.
_REFUSALS = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied",
    "certificate verify failed",
)
#: By SQLite's result code, the extended one or else its primary part.
_SQLITE = {
    sqlite3.SQLITE_BUSY: Trouble.BUSY,
    sqlite3.SQLITE_LOCKED: Trouble.BUSY,
    sqlite3.SQLITE_PROTOCOL: Trouble.BUSY,
    sqlite3.SQLITE_FULL: Trouble.FULL,
    sqlite3.SQLITE_IOERR: Trouble.AWAY,
    sqlite3.SQLITE_IOERR_SHMSIZE: Trouble.FULL,  # of a connection opened on a full disk
    sqlite3.SQLITE_CANTOPEN: Trouble.AWAY,
}


def trouble_of(error: BaseException) -> Trouble | None:
    """What kind of trouble an error is; None if the same would fail again."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0)
        return _SQLITE.get(code, _SQLITE.get(code & 0xFF))
    if not isinstance(cause, psycopg.Error):
        return None
    if state := cause.sqlstate:
        return _POSTGRESQL.get(state, _POSTGRESQL.get(state[:2]))
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    refused = any(words in str(cause) for words in _REFUSALS)
    if refused or not (lost or isinstance(cause, psycopg.OperationalError)):
        return None
    return Trouble.AWAY


def passes(error: BaseException) -> bool:
    """Whether an error, or the driver's behind it, may be gone when the same is tried again."""
    cause = error.__cause__
    return trouble_of(error) is not None or (cause is not None and trouble_of(cause) is not None)


def is_forbidden(error: BaseException) -> bool:
    """Whether the database's role has no right to what was asked."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, psycopg.Error) and cause.sqlstate == FORBIDDEN


def is_orphaned(error: BaseException) -> bool:
    """Whether a row was to be written that belongs to nothing: its study was deleted meanwhile."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0)
        return bool(code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY)
    return isinstance(cause, psycopg.Error) and cause.sqlstate == ORPHANED


def complaint(error: BaseException) -> str:
    """A driver's error on one line, and what to do about it."""
    reason = " ".join(str(getattr(error, "orig", None) or error).split())
    if is_forbidden(error):
        return f"this role may not do that ({reason}); `lrsearch db grants` shows what each may do"
    hints = {
        "unable to open database file": "does its folder exist, and may you write there?",
        "readonly database": "the file or its folder is read-only",
        "file is not a database": "the file is something else; name another",
        "is full": "the disk is full; free some space and run the same command again",
        "disk I/O error": "is the disk full or gone?",
    }
    hint = next((text for key, text in hints.items() if key in reason), None)
    return f"{reason}; {hint}" if hint else reason


class Outage:
    """Since when the database does not answer, for all threads: each thing is said once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None
        self._told = 0.0

    def begin(self, trouble: Trouble, error: BaseException) -> None:
        """Note that an attempt failed; say so at first and then every minute."""
        reason = complaint(error)
        with self._lock:
            now = time.monotonic()
            if self._since is None:
                self._since, self._told = now, now
                what = "has no room" if trouble is Trouble.FULL else "does not answer"
                log.warning("the database %s; waiting: %s", what, reason)
            elif now - self._told >= TELL_SECONDS:
                self._told = now
                minutes = (now - self._since) / 60
                log.warning("waiting for the database since %.0f min: %s", minutes, reason)

    def end(self) -> None:
        """Note that a transaction succeeded; say so if one was waited for."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
            if since is not None:
                log.warning("the database answers again after %.0f s", time.monotonic() - since)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a transaction is repeated while the database is out of reach."""

    #: With 0 the first failure counts; else a full disk is waited for without limit.
    seconds: float
    #: Whether the process was asked to end, so that it should not wait any longer.
    give_up: Callable[[], bool] = lambda: False

    def retrying(self, outage: Outage) -> Retrying:
        """Calls a function until it succeeds or time is up; raises its last error."""
        last, waited = time.monotonic(), 0.0

        def told(state: RetryCallState) -> None:
            error = _error(state)
            if (trouble := trouble_of(error)) in (Trouble.AWAY, Trouble.FULL):
                outage.begin(trouble, error)

        def late(state: RetryCallState) -> bool:
            nonlocal last, waited
            now = time.monotonic()
            waited, last = waited + min(now - last, LONGEST_ATTEMPT), now
            if trouble_of(_error(state)) is Trouble.FULL:
                waited = 0.0
            return waited >= self.seconds if self.seconds else True

        return Retrying(
            retry=retry_if_exception(lambda error: trouble_of(error) is not None),
            stop=lambda state: late(state) or self.give_up(),
            wait=wait_random_exponential(multiplier=0.2, max=LONGEST_PAUSE),
            sleep=self._sleep,
            before_sleep=told,
            reraise=True,
        )

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.give_up():
            time.sleep(min(left, LOOK_SECONDS))


def _error(state: RetryCallState) -> BaseException:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert error is not None
    return error
