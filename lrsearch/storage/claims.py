"""Rows that one worker at a time holds: confirmation runs and range tests, and partly trials.

Each has `study_id`, `state` (waiting, then a TrialState), `worker` (NULL while running: free to be
taken over) and `attempt`.
"""

from collections.abc import Collection, Mapping
from typing import TypeVar

from sqlalchemy import Connection, and_, or_, select, true, update

from lrsearch.errors import StudyError
from lrsearch.storage.ends import End
from lrsearch.storage.leases import TABLES, Claim, Kind, held, let_go
from lrsearch.storage.records import (
    ConfirmationRecord,
    Held,
    RangeTestRecord,
    TrialRecord,
    fetch_first_as,
)
from lrsearch.trial.states import WAITING, TrialState

R = TypeVar("R")
#: What a row of each table is.
RECORDS: Mapping[Kind, type[Held]] = {
    Kind.TRIAL: TrialRecord,
    Kind.CONFIRMATION: ConfirmationRecord,
    Kind.RANGE_TEST: RangeTestRecord,
}


def claim(
    connection: Connection,
    kind: Kind,
    record: type[R],
    study_id: int,
    worker: str,
    *,
    deaths_below: int | None = None,
) -> R | None:
    """Claim the next row that no worker holds for `worker`. The caller takes its lease, last.

    `deaths_below` leaves out what has cost so many workers, or more.
    """
    table = TABLES[kind]
    c = table.c
    free = (
        select(c.id)
        .where(
            c.study_id == study_id,
            or_(c.state == WAITING, and_(c.state == TrialState.RUNNING, c.worker.is_(None))),
            true() if deaths_below is None else c.deaths < deaths_below,
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
    return fetch_first_as(connection, query, record)


def any_free(connection: Connection, study_id: int) -> bool:
    """Whether a begun trial, or a range test or confirmation run, waits for a worker."""
    for kind, table in TABLES.items():
        c = table.c
        begun = and_(c.state == TrialState.RUNNING, c.worker.is_(None))
        # A trial that waits stands at a rung: the search decides whether it goes on.
        free = begun if kind == Kind.TRIAL else or_(c.state == WAITING, begun)
        if connection.execute(select(c.id).where(c.study_id == study_id, free).limit(1)).first():
            return True
    return False


def record(connection: Connection, claim: Claim, end: End) -> bool:
    """End a row, once; False if another worker has taken it over. The caller ends its lease, last.

    Leases are locked after the study, whose counters the caller changes in between.
    """
    query = update(TABLES[claim.kind]).where(held(claim)).values(**end.columns())
    return bool(connection.execute(query).rowcount)


def by_id(connection: Connection, kind: Kind, item: int) -> Held:
    """Raises StudyError if it was deleted with its study."""
    table = TABLES[kind]
    found = fetch_first_as(connection, select(table).where(table.c.id == item), RECORDS[kind])
    if found is None:
        raise StudyError(f"the {kind} was deleted meanwhile, and its study with it")
    return found


def held_by(
    connection: Connection,
    kind: Kind,
    record: type[R],
    study_id: int,
    worker: str,
    *,
    known: Collection[Claim] = (),
) -> R | None:
    """What a worker holds beside what it knows of: after a lost acknowledgement it asks."""
    table = TABLES[kind]
    c = table.c
    mine = (c.study_id == study_id, c.state == TrialState.RUNNING, c.worker == worker)
    other = c.id.not_in([claim.id for claim in known if claim.kind == kind])
    return fetch_first_as(connection, select(table).where(*mine, other).limit(1), record)


def release(connection: Connection, claim: Claim) -> bool:
    """Let go of it, so that the next worker takes it over; False if the claim is lost."""
    query = update(TABLES[claim.kind]).where(held(claim)).values(worker=None)
    if not connection.execute(query).rowcount:
        return False
    let_go(connection, claim)
    return True


def lose(connection: Connection, claim: Claim) -> int | None:
    """As `release`, for what was killed: how often that was without a new checkpoint.

    None if the claim is lost.
    """
    table = TABLES[claim.kind]
    deaths = table.c.deaths + 1
    query = update(table).where(held(claim)).values(worker=None, deaths=deaths)
    found = connection.execute(query.returning(table.c.deaths)).scalar()
    if found is not None:
        let_go(connection, claim)
    return found


def has_ended(connection: Connection, claim: Claim) -> bool:
    """Whether it was this attempt that ended it: so after a lost acknowledgement."""
    table = TABLES[claim.kind]
    c = table.c
    mine = (c.id == claim.id, c.attempt == claim.attempt, c.worker == claim.worker)
    query = select(c.id).where(*mine, c.state != TrialState.RUNNING)
    return connection.execute(query).first() is not None


def workers(connection: Connection, kind: Kind, study_id: int) -> list[str]:
    """The workers that hold rows of the study."""
    c = TABLES[kind].c
    query = (
        select(c.worker)
        .where(c.study_id == study_id, c.state == TrialState.RUNNING, c.worker.is_not(None))
        .distinct()
    )
    return list(connection.execute(query).scalars())
