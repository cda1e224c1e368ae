"""Locks of a study that is to be deleted, taken in the order in which its workers take them.

Whoever works on it is done with its transaction then, and the next one finds nothing.
"""

from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Table, func, select

from lrsearch.storage.leases import TABLES
from lrsearch.storage.tables import leases, studies, workers
from lrsearch.trial.states import OPEN


def hold(connection: Connection, study_id: int) -> None:
    """Lock what workers of a study lock: what they train, then the study, then the rest.

    Raises LockNotAvailable, which passes, if something was begun before the study was locked: to
    wait for its worker now would be against the order.
    """
    for table in TABLES.values():
        _lock(connection, table, study_id)
    study = select(studies.c.study_id).where(studies.c.study_id == study_id)
    connection.execute(study.with_for_update()).all()
    for table in TABLES.values():
        if _lock(connection, table, study_id, wait=False) < _count(connection, table, study_id):
            raise LockNotAvailable("another trial of the study has just begun")
    for table in (workers, leases):
        rows = select(table.c.study_id).where(table.c.study_id == study_id)
        ordered = rows.order_by(*table.primary_key.columns).with_for_update()
        connection.execute(ordered).all()


def _lock(connection: Connection, table: Table, study_id: int, *, wait: bool = True) -> int:
    """Lock what runs or waits; how many rows. Workers lock nothing that has ended."""
    c = table.c
    query = select(c.id).where(c.study_id == study_id, c.state.in_(OPEN)).order_by(c.id)
    return len(connection.execute(query.with_for_update(skip_locked=not wait)).all())


def _count(connection: Connection, table: Table, study_id: int) -> int:
    c = table.c
    query = select(func.count()).where(c.study_id == study_id, c.state.in_(OPEN))
    return connection.execute(query).scalar_one()
