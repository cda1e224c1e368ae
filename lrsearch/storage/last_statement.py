"""The last statement of a transaction, which PostgreSQL is sent together with the COMMIT.

A transaction that locks a row which others wait for holds it until it is committed. So no answer
is waited for in between, and no turn of this process among its threads.
"""

import logging
from collections.abc import Mapping
from typing import Any, Self

import psycopg
from psycopg.pq import PipelineStatus
from psycopg.rows import TupleRow
from sqlalchemy import Connection, CursorResult, Executable

# Where a session is lost within, psycopg raises that and warns of it besides.
logging.getLogger("psycopg").setLevel(logging.ERROR)


def execute_last(
    connection: Connection, query: Executable, values: Mapping[str, object]
) -> CursorResult[Any]:
    """Execute the last statement of a transaction, which may be committed when it returns.

    It is on PostgreSQL, but behind a pooler. Raises what the statement raises, or the commit;
    nothing of the transaction stays then.
    """
    session = connection.connection.driver_connection
    if not isinstance(session, CommittingSession) or not session.may_pipeline:
        return connection.execute(query, values)
    session.commits_next = True
    try:
        return connection.execute(query, values)
    finally:
        session.commits_next = False


class CommittingSession(psycopg.Connection[TupleRow]):
    """A connection that can send a statement together with the COMMIT."""

    #: Whether its messages reach one session of the server, in the order in which they are sent.
    may_pipeline = psycopg.Pipeline.is_supported()
    #: Whether the next statement is the last one of its transaction.
    commits_next = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.cursor_factory = CommittingCursor


class CommittingCursor(psycopg.Cursor[TupleRow]):
    """A cursor of such a connection."""

    def execute(self, *arguments: Any, **named: Any) -> Self:
        """As psycopg's; the statement and the COMMIT in one go where it is the last."""
        session = self.connection
        if not isinstance(session, CommittingSession) or not session.commits_next:
            return super().execute(*arguments, **named)
        try:
            with session.pipeline():
                super().execute(*arguments, **named)
                session.commit()
        finally:
            # An answer that was cut off leaves it in pipeline mode, which allows no rollback.
            if session.pgconn.pipeline_status != PipelineStatus.OFF:
                session.close()
        return self
