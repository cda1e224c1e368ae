"""What is asked of a study's workers: who works on it, on what, and when each was last seen."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, select, update

from lrsearch.storage.column_types import db_now
from lrsearch.storage.records import EventRecord, WorkerRecord, fetch_as
from lrsearch.storage.tables import events, workers
from lrsearch.task.worker_facts import WorkerFacts


def register(
    connection: Connection, study_id: int, name: str, *, device: str, version: str
) -> None:
    """A worker begins, or begins again."""
    values = {
        "device": device,
        "version": version,
        "doing": None,
        "seen_at": db_now(),
        "ended_at": None,
    }
    mine = (workers.c.study_id == study_id, workers.c.name == name)
    if not connection.execute(update(workers).where(*mine).values(**values)).rowcount:
        row = {"study_id": study_id, "name": name, "started_at": db_now(), **values}
        connection.execute(insert(workers).values(row))


def describe(connection: Connection, study_id: int, name: str, facts: WorkerFacts) -> None:
    """Keep what a worker runs."""
    mine = (workers.c.study_id == study_id, workers.c.name == name)
    connection.execute(update(workers).where(*mine).values(facts=facts.to_dict()))


def seen(connection: Connection, study_id: int, name: str, doing: str | None) -> float | None:
    """A worker lives, and does this; the time by the database's clock.

    None if it is not registered any more: its study was deleted.
    """
    mine = (workers.c.study_id == study_id, workers.c.name == name)
    query = update(workers).where(*mine).values(seen_at=db_now(), doing=doing)
    if not connection.execute(query).rowcount:
        return None
    return float(connection.execute(select(db_now())).scalar_one())


def ended(connection: Connection, study_id: int, name: str) -> None:
    """A worker ended in order."""
    mine = (workers.c.study_id == study_id, workers.c.name == name)
    connection.execute(update(workers).where(*mine).values(ended_at=db_now(), doing=None))


def everyone(connection: Connection, study_id: int) -> Sequence[WorkerRecord]:
    """All workers that ever worked on the study, with the seconds `since` each was last seen."""
    since = (db_now() - workers.c.seen_at).label("since")
    query = select(workers, since).where(workers.c.study_id == study_id).order_by(workers.c.id)
    return fetch_as(connection, query, WorkerRecord)


def alive(connection: Connection, study_id: int, lease: float) -> list[str]:
    """Workers that have not ended and were seen within two leases of so many seconds."""
    c = workers.c
    # A clock that was set back leaves what was seen before in the future.
    lately = func.abs(db_now() - c.seen_at) <= 2 * lease
    query = select(c.name).where(c.study_id == study_id, c.ended_at.is_(None), lately)
    return list(connection.execute(query.order_by(c.id)).scalars())


def note(connection: Connection, study_id: int, worker: str, what: str) -> None:
    """Keep a line about a fault and what was done."""
    row = {"study_id": study_id, "at": db_now(), "worker": worker, "what": what}
    connection.execute(insert(events).values(row))


def notes(connection: Connection, study_id: int, *, limit: int) -> Sequence[EventRecord]:
    """The newest lines, newest first."""
    query = select(events).where(events.c.study_id == study_id).order_by(events.c.id.desc())
    return fetch_as(connection, query.limit(limit), EventRecord)
