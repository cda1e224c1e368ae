"""What is asked of a study once a second while somebody watches it: little, whatever its size."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, or_, select

from lrsearch.storage.column_types import db_now
from lrsearch.storage.records import (
    CurveRecord,
    EventRecord,
    TrialRecord,
    WorkerRecord,
    fetch_as,
)
from lrsearch.storage.tables import curves, events, range_tests, rungs, trials, workers
from lrsearch.trial.states import OPEN


@dataclass(frozen=True, kw_only=True)
class RangeTestState:
    """A range test without its ramps, which are many rows of numbers."""

    id: int
    optimizer: str
    #: `waiting`, then a `TrialState`.
    state: str
    #: None while nobody holds it.
    worker: str | None
    reason: str | None
    epochs: float


def now(connection: Connection) -> float:
    """Seconds since 1970 by the database's clock."""
    return float(connection.execute(select(db_now())).scalar_one())


def still_to_end(connection: Connection, study_id: int) -> Sequence[TrialRecord]:
    """The trials that run or wait, in the order of their tickets."""
    c = trials.c
    mine = (c.study_id == study_id, c.state.in_(OPEN))
    return fetch_as(connection, select(trials).where(*mine).order_by(c.ticket), TrialRecord)


def ended_after(connection: Connection, study_id: int, ended: int) -> Sequence[TrialRecord]:
    """The trials behind this place in the order of ends, in that order."""
    c = trials.c
    mine = (c.study_id == study_id, c.ended > ended)
    return fetch_as(connection, select(trials).where(*mine).order_by(c.ended), TrialRecord)


def last_points(
    connection: Connection, ids: Sequence[int], most: int
) -> dict[int, tuple[CurveRecord, ...]]:
    """The newest `most` validations of each of these trials, in their order, as `curves.latest`."""
    c = curves.c
    place = func.row_number().over(
        partition_by=c.trial, order_by=(c.attempt.desc(), c.validation.desc())
    )
    ranked = select(curves, place.label("place")).where(c.trial.in_(ids)).subquery()
    query = (
        select(*(ranked.c[column.name] for column in curves.c))
        .where(ranked.c.place <= most)
        .order_by(ranked.c.trial, ranked.c.attempt, ranked.c.validation)
    )
    found: dict[int, dict[int, CurveRecord]] = {trial: {} for trial in ids}
    for row in fetch_as(connection, query, CurveRecord):
        # A later attempt went on from a checkpoint: what it saw replaces what came after that.
        kept = found[row.trial]
        found[row.trial] = {n: seen for n, seen in kept.items() if n < row.validation}
        found[row.trial][row.validation] = row
    return {trial: tuple(rows.values()) for trial, rows in found.items()}


def last_rungs(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """The last rung that each of these trials has reached, counted from 0; none: no rung yet."""
    query = select(rungs.c.trial, func.max(rungs.c.rung)).where(rungs.c.trial.in_(ids))
    return {row[0]: row[1] for row in connection.execute(query.group_by(rungs.c.trial))}


def range_test_states(connection: Connection, study_id: int) -> Sequence[RangeTestState]:
    """The range tests of a study, in the order in which they are begun."""
    names = ("id", "optimizer", "state", "worker", "reason", "epochs")
    query = select(*(range_tests.c[name] for name in names))
    mine = query.where(range_tests.c.study_id == study_id).order_by(range_tests.c.id)
    return fetch_as(connection, mine, RangeTestState)


def present_workers(
    connection: Connection, study_id: int, seconds: float
) -> Sequence[WorkerRecord]:
    """Workers that were seen, or have ended, in the last so many seconds; by their beginning."""
    c = workers.c
    since = (db_now() - c.seen_at).label("since")
    moments = (c.seen_at, c.ended_at)  # to come, after the server's clock was set back
    lately = or_(*(func.abs(db_now() - moment) <= seconds for moment in moments))
    query = select(workers, since).where(c.study_id == study_id, lately).order_by(c.id)
    return fetch_as(connection, query, WorkerRecord)


def notes_after(connection: Connection, study_id: int, last: int) -> Sequence[EventRecord]:
    """The lines about faults behind this one, the oldest first."""
    c = events.c
    query = select(events).where(c.study_id == study_id, c.id > last).order_by(c.id)
    return fetch_as(connection, query, EventRecord)


def last_note(connection: Connection, study_id: int) -> int:
    """The id of the newest line about a fault; 0 where there is none."""
    query = select(func.max(events.c.id)).where(events.c.study_id == study_id)
    return int(connection.execute(query).scalar() or 0)
