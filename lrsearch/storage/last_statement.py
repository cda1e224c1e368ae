"""The last statement of a transaction, which PostgreSQL is sent together with the COMMIT.

A transaction that locks a row which others wait for holds it until it is committed. So no answer
is waited for in between, and no turn of this process among its threads.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import generators
from psycopg._preparing import Prepare
from psycopg.abc import Params, PQGen, Query
from psycopg.rows import TupleRow
from sqlalchemy import Connection, CursorResult, Executable


def execute_last(
    connection: Connection, query: Executable, values: Mapping[str, object]
) -> CursorResult[Any]:
    """Execute the last statement of a transaction, which may be committed when it returns.

    On PostgreSQL that is so from the second time on that a session executes it. Raises what the
    statement raises, or the commit; nothing of the transaction stays then.
    """
    session = connection.connection.driver_connection
    if not isinstance(session, CommittingSession):
        return connection.execute(query, values)
    session.commits_next = True
    try:
        return connection.execute(query, values)
    finally:
        session.commits_next = False


class CommittingSession(psycopg.Connection[TupleRow]):
    """A connection that can send a COMMIT together with a prepared statement."""

    #: Whether the next statement is the last one of its transaction.
    commits_next = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.cursor_factory = CommittingCursor


class CommittingCursor(psycopg.Cursor[TupleRow]):
    """A cursor of such a connection."""

    def _execute_gen(
        self,
        query: Query,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> PQGen[None]:
        session = self._conn
        if isinstance(session, CommittingSession) and session.commits_next:
            yield from self._start_query(query)
            converted = self._convert_query(query, params)
            state, name = self._get_prepared(converted, prepare)
            if state is Prepare.YES and psycopg.Pipeline.is_supported():
                session._prepared.maybe_add_to_cache(converted, state, name)
                self._query = converted
                yield from self._commit_with(name, converted)
                return
        yield from super()._execute_gen(query, params, prepare=prepare, binary=binary)

    def _commit_with(self, name: bytes, converted: Any) -> PQGen[None]:
        """Send a prepared statement and the COMMIT at once, then read both answers."""
        wire = self._pgconn
        wire.enter_pipeline_mode()
        self._send_query_prepared(name, converted)
        wire.send_query_params(b"COMMIT", None)
        wire.pipeline_sync()
        yield from generators.send(wire)
        found = yield from generators.fetch_many(wire)
        try:
            committed = yield from generators.fetch_many(wire)
            yield from generators.fetch_many(wire)  # the end of both
        except psycopg.DatabaseError:
            self._check_results(found)  # the server's reason, where it gave one
            raise
        wire.exit_pipeline_mode()
        self._check_results(found)
        self._check_results(committed)
        self._set_results(found)
