"""Sessions on a PostgreSQL server: either side ends them when the other says nothing any more."""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from selectors import EVENT_READ, DefaultSelector
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg import sql
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads
from psycopg.waiting import Ready
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import InvalidatePoolError

from lrsearch.errors import StorageError
from lrsearch.plain_data import Document, Fields
from lrsearch.storage import encryption
from lrsearch.storage.last_statement import CommittingSession
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
#: The same in a process that was asked to end: Slurm kills it after 30 s, and it has more to do.
ENDING_SECONDS = 5.0
#: What has been executed so often is prepared the next time. With psycopg's own 5 a worker's first
#: five trials cost the server half as much again.
PREPARED_AFTER = 1
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
#: Of sessions that only read: the first holds in a session, the second in a pooler's transaction.
READ_ONLY_SETTINGS = {"default_transaction_read_only": "on", "transaction_read_only": "on"}
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
#: Of the calls of this thread: whether the process was asked to end, by now.
asked_to_end: ContextVar[Callable[[], bool]] = ContextVar("asked_to_end", default=lambda: False)


class Identity(NamedTuple):
    """Which of all sessions of a server it is."""

    #: Process id of its backend there.
    pid: int
    #: When that began: the id may be another's later on.
    started: datetime


class Transaction(NamedTuple):
    """Which of all transactions of a server it is."""

    #: Its number there, as a decimal.
    xid: str


class Session(CommittingSession):
    """A connection that waits for no answer longer than `answer_seconds`, or `ENDING_SECONDS`.

    Behind a pooler, such as pgbouncer, each transaction may have another session of the server: it
    says itself what holds in it, and nothing of it outlives it.
    """

    #: None behind a pooler: the session there is another client's a moment later.
    identity: Identity | None = None
    #: With what each transaction begins there.
    _first: sql.Composed | None = None

    def settle(self, settings: Mapping[str, str]) -> None:
        """Settle what holds in this session, or behind a pooler in each of its transactions.

        Raises StorageError if our schema is not the one that is looked at then.
        """
        pid, started = self._one(
            sql.SQL("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        )
        # By SQL, not as options of the connection, which poolers refuse or drop.
        ours = {**settings, "search_path": SCHEMA, "TimeZone": "UTC"}
        if pid == self.pgconn.backend_pid:
            self.identity = Identity(pid, started)
            self.prepare_threshold = PREPARED_AFTER
            self._one(_setting(ours, local=False))
            self.commit()
        else:
            self.rollback()
            self.prepare_threshold = None
            self.may_pipeline = False
            self._first = _setting(ours, local=True)
        # Compared there: texts of a database in SQL_ASCII arrive as bytes.
        is_ours = sql.SQL("SELECT current_setting('search_path') = {}").format(SCHEMA)
        (found,) = self._one(is_ours)
        self.rollback()
        if not found:
            raise StorageError(
                f"storage: the schema {SCHEMA} cannot be set as search_path; connect to the server "
                f"itself, or by a pooler that passes SET on"
            )

    def is_quiet(self) -> bool:
        """Whether nothing has come since the last answer: not the session's end, nor an error."""
        if self.closed:
            return False
        with DefaultSelector() as selector:
            selector.register(self.fileno(), EVENT_READ)
            return not selector.select(0)

    def _one(self, query: sql.SQL | sql.Composed) -> TupleRow:
        found = self.execute(query).fetchone()
        assert found is not None
        return found

    def _start_query(self) -> PQGen[None]:
        begins = self.pgconn.transaction_status == TransactionStatus.IDLE and not self.autocommit
        yield from super()._start_query()
        if begins and self._first is not None:
            yield from self._exec_command(self._first)

    def wait(self, gen: PQGen[T], *options: Any, **named: Any) -> T:
        """As psycopg's, through which every call goes; raises OperationalError when time is up."""
        return super().wait(self._limited(gen), *options, **named)

    def _limited(self, steps: PQGen[T]) -> PQGen[T]:
        deadline = time.monotonic() + (seconds := answer_seconds.get())
        is_ending = asked_to_end.get()
        try:
            state = next(steps)
            while True:
                ready = yield state
                # psycopg comes by with NONE every 0.1 s while nothing happens.
                if ready == Ready.NONE and seconds > ENDING_SECONDS and is_ending():
                    deadline = min(deadline, time.monotonic() + (seconds := ENDING_SECONDS))
                if ready == Ready.NONE and time.monotonic() > deadline:
                    self.pgconn.finish()  # else the rollback waits once more
                    raise psycopg.OperationalError(f"no answer within {seconds:g} s")
                state = steps.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result
        except psycopg.InternalError as error:
            if error.sqlstate is not None:
                raise
            # An answer and a farewell at once: what a pooler says whose server has gone.
            self.pgconn.finish()
            raise psycopg.OperationalError(str(error)) from error


def _setting(settings: Mapping[str, str], *, local: bool) -> sql.Composed:
    """A statement with these settings, for the session or the transaction."""
    call = sql.SQL("set_config({}, {}, {})")
    calls = [call.format(name, value, local) for name, value in settings.items()]
    return sql.SQL("SELECT {}").format(sql.SQL(", ").join(calls))


def open_session(url: URL, *, reads_only: bool = False) -> Session:
    """A new session for what a URL names, in UTC and in our schema.

    The server refuses to write in one that `reads_only`.
    What the URL, or PGOPTIONS, says of timeouts goes before ours. Raises psycopg's errors, and
    StorageError where another machine wants a password in clear text, or where our schema cannot be
    set.
    """
    query = dict(url.query)
    given = str(query.get("options", os.environ.get("PGOPTIONS", "")))
    arguments: Document = {
        **CLIENT_SETTINGS,
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
    try:
        ours = {k: v for k, v in SERVER_SETTINGS.items() if f"{k}=" not in given}
        session.settle({**ours, **READ_ONLY_SETTINGS} if reads_only else ours)
    except BaseException:
        session.close()
        raise
    return session


def check(session: Session, *of_the_pool: object) -> None:
    """Before a session is used again: raises InvalidatePoolError if it has ended meanwhile.

    Only one to which something has come is asked, so a transaction has one round trip less.
    """
    if session.is_quiet():
        return
    try:
        session.execute("SELECT 1")
        session.rollback()
    except psycopg.Error as error:
        raise InvalidatePoolError from error


def identity(connection: Connection) -> "Identity | Transaction | None":
    """Of the session below a connection, behind a pooler of its transaction.

    None on another database.
    """
    session = connection.connection.driver_connection
    if not isinstance(session, Session):
        return None
    if session.identity is not None:
        return session.identity
    return Transaction(connection.execute(text("SELECT pg_current_xact_id()::text")).scalar_one())


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


def end(connection: Connection, earlier: Identity | Transaction) -> None:
    """End an earlier session that the server may still have, and its open transaction.

    Then it is settled whether that was committed, and it holds no locks. Behind a pooler, where it
    would be another client's, its end is waited for. Raises OperationalError if it does not end.
    """
    if isinstance(earlier, Transaction):
        # One to come is of a server that has failed over to a replica since.
        query = text(
            "SELECT CASE WHEN CAST(:xid AS xid8) < pg_snapshot_xmax(pg_current_snapshot()) "
            "THEN pg_xact_status(CAST(:xid AS xid8)) END"
        )
        if connection.execute(query, earlier._asdict()).scalar() == "in progress":
            raise psycopg.OperationalError("an earlier transaction of this process is still open")
        return
    if earlier == identity(connection):
        return
    query = text(
        "SELECT pg_terminate_backend(pid, :wait) FROM pg_stat_activity "
        "WHERE pid = :pid AND backend_start = :started"
    )
    values = {"wait": 1000 * END_SECONDS, **earlier._asdict()}
    if connection.execute(query, values).scalar() is False:
        raise psycopg.OperationalError("an earlier session of this process does not end")
