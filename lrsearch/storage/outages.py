"""What of a database's trouble passes by itself, and how long one waits for it."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from tenacity import (
    AttemptManager,
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

log = logging.getLogger("lrsearch")

#: A database may be gone for so long before a worker gives up.
WINDOW_SECONDS = 600.0
#: Longest pause between two attempts; each is drawn at random below a limit that doubles.
LONGEST_PAUSE = 5.0
#: What SQLite says when the next attempt may succeed.
SQLITE_PASSING = ("database is locked", "disk is full", "disk I/O error", "unable to open")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a transaction is repeated while the database is out of reach."""

    seconds: float
    #: Whether the process was asked to end, so that it should not wait any longer.
    give_up: Callable[[], bool] = lambda: False

    def attempts(self) -> Iterator[AttemptManager]:
        """Attempts, with random pauses between them, until one succeeds or time is up."""
        late = stop_after_delay(self.seconds)
        return iter(
            Retrying(
                retry=retry_if_exception(passes),
                stop=lambda state: late(state) or self.give_up(),
                wait=wait_random_exponential(multiplier=0.2, max=LONGEST_PAUSE),
                before_sleep=_tell,
                reraise=True,
            )
        )


def _tell(state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome is not None:
        log.warning("the database does not answer; waiting: %s", state.outcome.exception())


def passes(error: BaseException) -> bool:
    """Whether an error may be gone when the same is tried again."""
    if not isinstance(error, DBAPIError):
        return False
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return any(text in str(cause) for text in SQLITE_PASSING)
    lost = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return lost or isinstance(cause, psycopg.errors.IdleInTransactionSessionTimeout)
