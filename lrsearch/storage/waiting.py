"""What is asked of a search that is planned: where its trials stand, who waits, who goes on.

No worker holds a trial that waits; its row keeps the name of the one that trained it. The epochs
that it has trained are used; those that it still had reserved are free.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, exists, func, or_, select, union_all, update

from lrsearch.storage import leases
from lrsearch.storage.column_types import db_now
from lrsearch.storage.leases import Claim
from lrsearch.storage.records import TrialRecord, fetch_as, fetch_first_as
from lrsearch.storage.studies import waiting as queued
from lrsearch.storage.tables import queue, range_tests, rungs, studies, trials
from lrsearch.storage.tickets import ORDER
from lrsearch.trial.states import OPEN, StudyState, TrialState


@dataclass(frozen=True, kw_only=True)
class StandingRow:
    """A trial of a planned search."""

    id: int
    ticket: int
    kind: str
    state: str
    #: Trained before it ended or began to wait.
    epochs: float
    #: The last that it has a mark at, and what it showed there; None before its first.
    rung: int | None
    signal: float | None
    #: Its place in the order of ends, and of moves.
    ended: int | None
    moved: int | None


@dataclass(frozen=True, kw_only=True)
class Since:
    """How far the standings of a study have been read."""

    ended: int = 0
    moved: int = 0
    ticket: int = 0


def standings(
    connection: Connection, study_id: int, since: Since | None = None
) -> Sequence[StandingRow]:
    """Every started trial, by ticket; or those that have begun, moved or ended since."""
    t, mark = trials.c, rungs.alias().c
    last = select(func.max(mark.rung)).where(mark.trial == t.id).scalar_subquery()
    own = and_(rungs.c.trial == t.id, rungs.c.rung == last)
    signal = rungs.c.value.label("signal")
    query = (
        select(t.id, t.ticket, t.kind, t.state, t.epochs, rungs.c.rung, signal, t.ended, t.moved)
        .select_from(trials.outerjoin(rungs, own))
        .where(t.study_id == study_id)
        .order_by(t.ticket)
    )
    if since is not None:
        n = trials.alias().c
        news = union_all(
            select(n.id).where(n.study_id == study_id, n.ended > since.ended),
            select(n.id).where(n.study_id == study_id, n.moved > since.moved),
            select(n.id).where(n.study_id == study_id, n.ticket > since.ticket),
        )
        query = query.where(t.id.in_(news))
    return fetch_as(connection, query, StandingRow)


def those_that_wait(connection: Connection, study_id: int) -> Sequence[tuple[int, str]]:
    """The trials that wait, by id, each with the worker that trained it."""
    t = trials.c
    query = select(t.id, t.worker).where(t.study_id == study_id, t.state == TrialState.WAITING)
    return [(row.id, row.worker) for row in connection.execute(query.order_by(t.ticket))]


def trains(connection: Connection, study_id: int) -> bool:
    """Whether any trial is in training, or free to be taken over."""
    t = trials.c
    query = select(t.id).where(t.study_id == study_id, t.state == TrialState.RUNNING).limit(1)
    return connection.execute(query).first() is not None


def range_test_epochs(connection: Connection, study_id: int) -> float:
    """What the study's range tests were given, whatever they trained."""
    total = func.coalesce(func.sum(range_tests.c.epochs_reserved), 0.0)
    query = select(total).where(range_tests.c.study_id == study_id)
    return float(connection.execute(query).scalar_one())


def range_tests_left(connection: Connection, study_id: int) -> float:
    """Epochs that the study's ended range tests were given and have not trained."""
    r = range_tests.c
    total = func.coalesce(func.sum(r.epochs_reserved - r.epochs), 0.0)
    query = select(total).where(r.study_id == study_id, r.state.not_in(OPEN))
    return float(connection.execute(query).scalar_one())


def is_open(connection: Connection, study_id: int) -> bool:
    """Whether trials may start and go on: the study is open, and its time is not over."""
    s = studies.c
    late = and_(s.first_ask_at.is_not(None), db_now() >= s.first_ask_at + s.seconds_total)
    in_time = or_(s.seconds_total.is_(None), ~late)
    query = select(s.study_id).where(s.study_id == study_id, s.state == StudyState.OPEN, in_time)
    return connection.execute(query).first() is not None


def has_new(connection: Connection, study_id: int) -> bool:
    """Whether a recipe is left that has no trial, as far as is recorded."""
    s, q = studies.c, queue.c
    queued = exists().where(q.study_id == study_id, q.ticket.is_(None))
    query = select(s.study_id).where(s.study_id == study_id, or_(s.exhausted_at.is_(None), queued))
    return connection.execute(query).first() is not None


def queued_kinds(connection: Connection, study_id: int) -> Sequence[str]:
    """The kinds of the recipes that are enqueued, in the order in which trials take them."""
    rows = queued(connection, study_id)
    return sorted((row.kind for row in rows), key=lambda kind: ORDER.get(kind, 1))


def wait(
    connection: Connection, claim: Claim, *, epochs: float, seconds: float, horizon: float
) -> None:
    """Let a held trial wait where it stands, after so many epochs and seconds of training.

    The rest of its reserved `horizon`, in epochs, returns to the budget.
    """
    values = {
        "state": TrialState.WAITING,
        "epochs": epochs,
        "seconds": seconds,
    }
    query = update(trials).where(leases.held(claim)).values(values).returning(trials.c.study_id)
    study_id = connection.execute(query).scalar_one()
    _move(connection, study_id, claim.id, used=epochs, reserved=-horizon)
    leases.let_go(connection, claim)


def waits(connection: Connection, claim: Claim) -> bool:
    """Whether the trial waits since this attempt: so after a lost acknowledgement."""
    c = trials.c
    query = select(c.id).where(
        c.id == claim.id, c.attempt == claim.attempt, c.state == TrialState.WAITING
    )
    return connection.execute(query).first() is not None


def go_on(
    connection: Connection, trial: int, worker: str, lease: float, *, horizon: float
) -> TrialRecord | None:
    """Claim a trial that waits, for `lease` seconds; None if it waits no more.

    Its `horizon`, in epochs, is reserved again.
    """
    c = trials.c
    free = (
        select(c.id)
        .where(c.id == trial, c.state == TrialState.WAITING)
        .with_for_update(skip_locked=True)
    )
    query = (
        update(trials)
        .where(c.id == free.scalar_subquery())
        .values(state=TrialState.RUNNING, worker=worker, attempt=c.attempt + 1)
        .returning(*c)
    )
    row = fetch_first_as(connection, query, TrialRecord)
    if row is None:
        return None
    _move(connection, row.study_id, row.id, used=-row.epochs, reserved=horizon)
    claim = Claim(id=row.id, attempt=row.attempt, worker=row.worker)
    leases.take(connection, row.study_id, claim, lease)
    return row


def _move(
    connection: Connection, study_id: int, trial: int, *, used: float, reserved: float
) -> None:
    """Change the study's budget for a trial, which gets its place in the order of such moves.

    They are counted in the study's row: moves are committed in that order.
    """
    s = studies.c
    values = {
        "epochs_used": s.epochs_used + used,
        "epochs_reserved": s.epochs_reserved + reserved,
        "moves": s.moves + 1,
    }
    count = update(studies).where(s.study_id == study_id).values(values).returning(s.moves)
    moved = connection.execute(count).scalar_one()
    connection.execute(update(trials).where(trials.c.id == trial).values(moved=moved))
