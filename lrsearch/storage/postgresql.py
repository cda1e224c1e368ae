"""Sessions on a PostgreSQL server: either side ends them when the other says nothing any more."""

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads
from psycopg.waiting import Ready
from sqlalchemy import URL, Connection, text

from lrsearch.plain_data import Document, Fields
from lrsearch.storage import encryption
from lrsearch.storage.rows import read_json

T = TypeVar("T")

#: On PostgreSQL, the schema that holds our tables and Optuna's; nothing else is touched.
SCHEMA = "lrsearch"
#: An unreachable server is reported within 5 seconds at start, name resolution included.
CONNECT_TIMEOUT_SECONDS = 3
#: What the server may take for a statement, waiting for locks included. A worker's take
#: milliseconds; a minute means that another transaction holds the study.
STATEMENT_SECONDS = 60
#: A worker that was stopped within a transaction, by SIGSTOP or with its machine, holds the study's
#: row no longer than that. Workers' transactions compute nothing between their statements.
IDLE_IN_TRANSACTION_SECONDS = 15
#: The same for the few transactions that compute: a successor's encodes all trials of a study
#: (0.05 ms each) and reads those of Optuna through another session.
LONG_IDLE_SECONDS = 600
#: Seconds without an answer after which a connection is given up: later than the server itself
#: would have given up the statement. A connection through which nothing comes any more (a proxy
#: that went silent, one end closed) would otherwise be waited for without end.
ANSWER_SECONDS = 90.0
#: How long an earlier session of ours may take to end when it is told to.
END_SECONDS = 5

#: The server's side. Its keepalives end sessions whose machine has vanished (by default after two
#: hours), which would use up its connections where machines are preempted.
SERVER_SETTINGS = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "6",
}
#: Our side, in libpq's terms: the other end is asked after 30 s of silence, and what it has not
#: acknowledged after 60 s was lost.
CLIENT_SETTINGS: Fields = {
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}

#: Of the calls of this thread: seconds that a session waits for an answer.
answer_seconds: ContextVar[float] = ContextVar("answer_seconds", default=ANSWER_SECONDS)


class Identity(NamedTuple):
    """Which of all sessions of a server it is."""

    #: Process id of its backend there.
    pid: int
    #: When that began: the id may be another's later on.
    started: datetime


class Session(psycopg.Connection[TupleRow]):
    """A connection that waits for no answer longer than `answer_seconds`."""

    identity: Identity

    def wait(self, gen: PQGen[T], *options: Any, **named: Any) -> T:
        """As psycopg's, through which every call goes; raises OperationalError when time is up."""
        return super().wait(self._limited(gen), *options, **named)

    def _limited(self, steps: PQGen[T]) -> PQGen[T]:
        deadline = time.monotonic() + (seconds := answer_seconds.get())
        try:
            state = next(steps)
            while True:
                ready = yield state
                # psycopg comes by with NONE every 0.1 s while nothing happens.
                if ready == Ready.NONE and time.monotonic() > deadline:
                    self.pgconn.finish()  # else the rollback waits once more
                    raise psycopg.OperationalError(f"no answer within {seconds:g} s")
                state = steps.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result


def open_session(url: URL) -> Session:
    """A new session for what a URL names, in UTC and in our schema.

    What the URL, or PGOPTIONS, says of timeouts goes before ours. Raises psycopg's errors, and
    StorageError where another machine wants a password in clear text.
    """
    query = dict(url.query)
    given = str(query.pop("options", os.environ.get("PGOPTIONS", "")))
    ours = " ".join(f"-c {name}={value}" for name, value in SERVER_SETTINGS.items())
    arguments: Document = {
        **CLIENT_SETTINGS,
        # Of two values for a setting the server takes the last.
        "options": f"{ours} {given} -c search_path={SCHEMA}",
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "dbname": url.database,
        **query,
    }
    given_ones = {k: v for k, v in arguments.items() if v is not None}
    session = encryption.connect(Session.connect, given_ones)
    set_json_loads(read_json, session)  # SQLAlchemy's is for connections that it makes itself
    session.autocommit = True
    # Not among the options above: PGTZ in the environment would override it.
    session.execute("SET TIME ZONE 'UTC'")
    found = session.execute(
        "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    ).fetchone()
    assert found is not None
    session.identity = Identity(*found)
    session.autocommit = False
    return session


def identity(connection: Connection) -> Identity | None:
    """Of the session below a connection; None on another database."""
    session = connection.connection.driver_connection
    return session.identity if isinstance(session, Session) else None


@contextmanager
def unhurried(connection: Connection) -> Iterator[None]:
    """Statements of this transaction may take as long as they take, as on large tables they do.

    Between them it may compute for `LONG_IDLE_SECONDS`.
    """
    before = answer_seconds.set(math.inf)
    try:
        if identity(connection) is not None:
            idle = f"SET LOCAL idle_in_transaction_session_timeout = '{LONG_IDLE_SECONDS}s'"
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text(idle))
        yield
    finally:
        answer_seconds.reset(before)


def end(connection: Connection, earlier: Identity) -> None:
    """End an earlier session that the server may still have, and its open transaction.

    Then it is settled whether that was committed, and it holds no locks. Raises OperationalError
    if it does not end.
    """
    if earlier == identity(connection):
        return
    query = text(
        "SELECT pg_terminate_backend(pid, :wait) FROM pg_stat_activity "
        "WHERE pid = :pid AND backend_start = :started"
    )
    values = {"wait": 1000 * END_SECONDS, **earlier._asdict()}
    if connection.execute(query, values).scalar() is False:
        raise psycopg.OperationalError("an earlier session of this process does not end")
