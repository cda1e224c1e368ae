"""Rows that one worker at a time holds: confirmation runs and range tests.

Each has `study_id`, `state` (waiting, then a TrialState), `worker` (NULL while running: free to be
taken over) and `attempt`.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Table, and_, or_, select, update

from lrsearch.storage.rows import Row, fetch_first
from lrsearch.storage.tables import TrialState

#: A planned row that no worker has begun.
WAITING = "waiting"
#: States of a row that is still to end.
OPEN = (WAITING, TrialState.RUNNING.value)


def claim(connection: Connection, table: Table, study_id: int, worker: str) -> Row | None:
    """The next row that nobody holds, now held by `worker`."""
    c = table.c
    free = (
        select(c.id)
        .where(
            c.study_id == study_id,
            or_(c.state == WAITING, and_(c.state == TrialState.RUNNING, c.worker.is_(None))),
        )
        .order_by(c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    query = (
        update(table)
        .where(c.id == free.scalar_subquery())
        .values(state=TrialState.RUNNING, worker=worker, attempt=c.attempt + 1)
        .returning(*c)
    )
    return fetch_first(connection, query)


def release(connection: Connection, table: Table, study_id: int, workers: Sequence[str]) -> int:
    """Let go of the rows that these workers held; how many there were."""
    c = table.c
    query = (
        update(table)
        .where(c.study_id == study_id, c.state == TrialState.RUNNING, c.worker.in_(workers))
        .values(worker=None)
    )
    return connection.execute(query).rowcount


def workers(connection: Connection, table: Table, study_id: int) -> list[str]:
    """The workers that hold rows of the study."""
    c = table.c
    query = (
        select(c.worker)
        .where(c.study_id == study_id, c.state == TrialState.RUNNING, c.worker.is_not(None))
        .distinct()
    )
    return list(connection.execute(query).scalars())
