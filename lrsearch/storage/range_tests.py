"""What is asked of a study's range tests: plan, claim, end, list."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from lrsearch.storage import claims, leases
from lrsearch.storage.column_types import db_now
from lrsearch.storage.ends import End
from lrsearch.storage.leases import Claim, Kind
from lrsearch.storage.records import RangeTestRecord, WindowRecord, fetch_as
from lrsearch.storage.tables import range_tests, studies
from lrsearch.trial.states import OPEN, WAITING


@dataclass(frozen=True, kw_only=True)
class PlannedTest:
    """A range test that is to be made."""

    optimizer: str
    #: Ramps at most.
    seeds: int
    epochs_reserved: float


def everything(connection: Connection, study_id: int) -> Sequence[RangeTestRecord]:
    """All planned range tests of a study, in the order in which they are begun."""
    query = select(range_tests).where(range_tests.c.study_id == study_id).order_by(range_tests.c.id)
    return fetch_as(connection, query, RangeTestRecord)


def add(connection: Connection, study_id: int, tests: Sequence[PlannedTest]) -> None:
    """Plan tests, and reserve their epochs."""
    if not tests:
        return
    start = {"study_id": study_id, "state": WAITING, "attempt": 0, "epochs": 0.0, "seconds": 0.0}
    connection.execute(insert(range_tests), [{**start, **vars(test)} for test in tests])
    reserved = sum(test.epochs_reserved for test in tests)
    connection.execute(
        update(studies)
        .where(studies.c.study_id == study_id)
        .values(epochs_reserved=studies.c.epochs_reserved + reserved)
    )


def claim(
    connection: Connection, study_id: int, worker: str, lease: float
) -> RangeTestRecord | None:
    """Claim the next range test that no worker trains, for `lease` seconds.

    The first claim starts the clock of a budget in time.
    """
    row = claims.claim(connection, Kind.RANGE_TEST, RangeTestRecord, study_id, worker)
    if row is not None:
        clock = func.coalesce(studies.c.first_ask_at, db_now())
        connection.execute(
            update(studies).where(studies.c.study_id == study_id).values(first_ask_at=clock)
        )
        leases.take(connection, study_id, claim_of(row), lease)
    return row


def record(connection: Connection, test: RangeTestRecord, end: End) -> bool:
    """End a range test, once; False if another worker has taken it over.

    The unused part of its reserved epochs returns to the budget.
    """
    if not claims.record(connection, claim_of(test), end):
        return False
    connection.execute(
        update(studies)
        .where(studies.c.study_id == test.study_id)
        .values(
            epochs_reserved=studies.c.epochs_reserved - test.epochs_reserved,
            epochs_used=studies.c.epochs_used + end.epochs,
        )
    )
    leases.let_go(connection, claim_of(test))
    return True


def claim_of(test: RangeTestRecord) -> Claim:
    """A worker's hold on a range test that it has claimed."""
    return Claim(kind=Kind.RANGE_TEST, id=test.id, attempt=test.attempt, worker=test.worker)


def workers(connection: Connection, study_id: int) -> list[str]:
    """The workers that train range tests of the study."""
    return claims.workers(connection, Kind.RANGE_TEST, study_id)


def windows_so_far(connection: Connection, study_id: int) -> Sequence[WindowRecord]:
    """Of each range test its optimizer, whether it is still to end, and what it found."""
    c = range_tests.c
    query = (
        select(c.optimizer, c.state.in_(OPEN).label("open"), c.result)
        .where(c.study_id == study_id)
        .order_by(c.id)
    )
    return fetch_as(connection, query, WindowRecord)
