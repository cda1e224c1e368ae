"""What is asked of trials: a ticket, a takeover, an end; and what a study looks like so far.

Every write to a running trial names the attempt that made it: a worker that lost its trial writes
nothing.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    true,
    update,
)

from lrsearch.plain_data import Fields
from lrsearch.storage import leases
from lrsearch.storage.column_types import db_now
from lrsearch.storage.ends import End
from lrsearch.storage.leases import Claim
from lrsearch.storage.records import QueuedRecord, TrialRecord, fetch_as, fetch_first_as
from lrsearch.storage.tables import queue, studies, trials
from lrsearch.trial.rounding import EPSILON
from lrsearch.trial.states import OPEN, StudyState, TrialState

#: Which kinds of enqueued recipes come before the others, and after; older studies have `textbook`.
ORDER = {"baseline": 0, "portfolio": 2, "textbook": 2}


def take_over(
    connection: Connection,
    study_id: int,
    worker: str,
    lease: float,
    *,
    deaths_below: int | None = None,
) -> TrialRecord | None:
    """Claim a running trial that no worker holds, the oldest first; its attempt rises by one.

    It is leased for `lease` seconds. `deaths_below` leaves out what has cost so many workers, or
    more.
    """
    free = (
        select(trials.c.id)
        .where(
            trials.c.study_id == study_id,
            trials.c.state == TrialState.RUNNING,
            trials.c.worker.is_(None),
            true() if deaths_below is None else trials.c.deaths < deaths_below,
        )
        .order_by(trials.c.ticket)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    query = (
        update(trials)
        .where(trials.c.id == free.scalar_subquery())
        .values(worker=worker, attempt=trials.c.attempt + 1)
        .returning(*trials.c)
    )
    return _leased(connection, fetch_first_as(connection, query, TrialRecord), lease)


def _leased(connection: Connection, row: TrialRecord | None, lease: float) -> TrialRecord | None:
    if row is not None:
        claim = Claim(id=row.id, attempt=row.attempt, worker=row.worker)
        leases.take(connection, row.study_id, claim, lease)
    return row


def start(
    connection: Connection,
    study_id: int,
    worker: str,
    lease: float,
    *,
    horizon: float,
    keep: float | None,
) -> TrialRecord | None:
    """Take a ticket and a new trial, leased for `lease` seconds; None when the budget is used.

    Ticket, reservation of `horizon` epochs and trial are one transaction: the budget is exact
    whatever dies. `keep` is the share of the budget's epochs that search leaves for confirmation;
    None: the caller has looked at epochs.
    """
    s = studies.c
    query = (
        update(studies)
        .where(_budget_left(study_id, horizon=horizon, keep=keep))
        .values(
            trials_used=s.trials_used + 1,
            epochs_reserved=s.epochs_reserved + horizon,
            first_ask_at=func.coalesce(s.first_ask_at, db_now()),
        )
        .returning(s.trials_used)
    )
    ticket = connection.execute(query).scalar()
    if ticket is None:
        return None
    return _leased(connection, _insert(connection, study_id, ticket, worker), lease)


def _insert(connection: Connection, study_id: int, ticket: int, worker: str) -> TrialRecord:
    """The new trial of a ticket: that of an enqueued recipe, if one waits."""
    given = _pop_queue(connection, study_id, ticket)
    new = insert(trials).values(
        study_id=study_id,
        ticket=ticket,
        kind=given.kind if given else "sampled",
        recipe=given.recipe if given else None,
        state=TrialState.RUNNING,
        worker=worker,
        attempt=1,
        epochs=0.0,
        seconds=0.0,
        started_at=db_now(),
    )
    return fetch_as(connection, new.returning(*trials.c), TrialRecord)[0]


def _budget_left(study_id: int, *, horizon: float, keep: float | None) -> ColumnElement[bool]:
    s = studies.c
    reserve = s.epochs_used + s.epochs_reserved + horizon
    rounding = 1 + EPSILON if keep else 1  # 13 x (1 - 3 / 13) is less than 10
    most = s.epochs_total * (1 - (keep or 0)) * rounding
    late = and_(s.first_ask_at.is_not(None), db_now() >= s.first_ask_at + s.seconds_total)
    return and_(
        s.study_id == study_id,
        s.state == StudyState.OPEN,
        or_(s.trials_total.is_(None), s.trials_used - s.trials_returned < s.trials_total),
        or_(s.exhausted_at.is_(None), _waits(study_id)),
        true() if keep is None else or_(s.epochs_total.is_(None), reserve <= most),
        or_(s.seconds_total.is_(None), not_(late)),
    )


def _waits(study_id: int) -> ColumnElement[bool]:
    """Whether an enqueued recipe waits: it is trained in an exhausted study too."""
    waiting = (queue.c.study_id == study_id, queue.c.ticket.is_(None))
    return exists().where(*waiting)


def may_start(connection: Connection, study_id: int, *, horizon: float, keep: float) -> bool:
    """Whether the study is open and its budget has another trial."""
    query = select(studies.c.study_id).where(_budget_left(study_id, horizon=horizon, keep=keep))
    return connection.execute(query).first() is not None


def _pop_queue(connection: Connection, study_id: int, ticket: int) -> QueuedRecord | None:
    """The next enqueued recipe: a baseline, then the user's own, then the portfolio's."""
    first = (
        select(queue.c.id)
        .where(queue.c.study_id == study_id, queue.c.ticket.is_(None))
        .order_by(case(ORDER, value=queue.c.kind, else_=1), queue.c.id)
        .limit(1)
    )
    query = (
        update(queue)
        .where(queue.c.id == first.scalar_subquery())
        .values(ticket=ticket)
        .returning(*queue.c)
    )
    return fetch_first_as(connection, query, QueuedRecord)


def attach(connection: Connection, claim: Claim, *, trial_id: int, number: int) -> bool:
    """Record Optuna's trial; False if the claim is lost."""
    values = {"trial_id": trial_id, "number": number}
    return bool(
        connection.execute(update(trials).where(leases.held(claim)).values(values)).rowcount
    )


def link(
    connection: Connection, claim: Claim, recipe: Fields, fingerprint: str | None = None
) -> bool:
    """Record the recipe, and what tells it from others; False if the claim is lost."""
    values = {"recipe": dict(recipe), "fingerprint": fingerprint}
    query = update(trials).where(leases.held(claim)).values(**values)
    return bool(connection.execute(query).rowcount)


def is_repeat(connection: Connection, trial: int) -> bool:
    """Whether another trial of the study has the recipe of this one, by id.

    The caller holds the study's row: of two trials that ask, one is told.
    """
    mine, other = trials.alias("mine"), trials.c
    query = select(other.id).join(
        mine, and_(mine.c.study_id == other.study_id, mine.c.fingerprint == other.fingerprint)
    )
    query = query.where(mine.c.id == trial, other.id != trial).limit(1)
    return connection.execute(query).first() is not None


def record(connection: Connection, claim: Claim, end: End, *, horizon: float) -> bool:
    """End a trial, once; False if the claim is lost.

    The unused part of the reserved `horizon` (in epochs) returns to the budget. The trial gets its
    place in the order of ends, which is counted in the study's row: ends are committed in that
    order.
    """
    query = (
        update(trials)
        .where(leases.held(claim))
        .values(**end.columns(), ended_at=db_now())
        .returning(trials.c.study_id)
    )
    study_id = connection.execute(query).scalar()
    if study_id is None:
        return False
    count = (
        update(studies)
        .where(studies.c.study_id == study_id)
        .values(
            epochs_reserved=studies.c.epochs_reserved - horizon,
            epochs_used=studies.c.epochs_used + end.epochs,
            trials_ended=studies.c.trials_ended + 1,
        )
        .returning(studies.c.trials_ended)
    )
    ended = connection.execute(count).scalar_one()
    connection.execute(update(trials).where(trials.c.id == claim.id).values(ended=ended))
    leases.let_go(connection, claim)
    return True


def any_running(connection: Connection, study_id: int) -> bool:
    """Whether a trial is still to end: it runs or waits."""
    running = (trials.c.study_id == study_id, trials.c.state.in_(OPEN))
    return connection.execute(select(trials.c.id).where(*running).limit(1)).first() is not None


def everything(connection: Connection, study_id: int) -> Sequence[TrialRecord]:
    """All started trials in the order of their tickets."""
    query = select(trials).where(trials.c.study_id == study_id).order_by(trials.c.ticket)
    return fetch_as(connection, query, TrialRecord)


def by_number(connection: Connection, study_id: int, number: int) -> TrialRecord | None:
    query = select(trials).where(trials.c.study_id == study_id, trials.c.number == number)
    return fetch_first_as(connection, query, TrialRecord)


def recipes(connection: Connection, study_id: int, numbers: Sequence[int]) -> dict[int, Fields]:
    """The recipes of these trials, by number."""
    query = select(trials.c.number, trials.c.recipe).where(
        trials.c.study_id == study_id, trials.c.number.in_(numbers)
    )
    return {row.number: row.recipe for row in connection.execute(query)}


def complete_values(
    connection: Connection, study_id: int, numbers: Collection[int]
) -> dict[int, float]:
    """The values of those of these trials that are complete, by number."""
    query = select(trials.c.number, trials.c.value).where(
        trials.c.study_id == study_id,
        trials.c.number.in_(numbers),
        trials.c.state == TrialState.COMPLETE,
        trials.c.value.is_not(None),
    )
    return {row.number: row.value for row in connection.execute(query)}


def ranked(
    connection: Connection,
    study_id: int,
    *,
    minimize: bool,
    limit: int,
    states: Sequence[TrialState] = (TrialState.COMPLETE,),
) -> Sequence[TrialRecord]:
    """The best trials of these states by value, the earlier first among equals."""
    value = trials.c.value.asc() if minimize else trials.c.value.desc()
    query = (
        select(trials)
        .where(
            trials.c.study_id == study_id,
            trials.c.state.in_(states),
            trials.c.value.is_not(None),
        )
        .order_by(value, trials.c.ticket)
        .limit(limit)
    )
    return fetch_as(connection, query, TrialRecord)


def baseline(connection: Connection, study_id: int) -> TrialRecord | None:
    query = select(trials).where(trials.c.study_id == study_id, trials.c.kind == "baseline")
    return fetch_first_as(connection, query.limit(1), TrialRecord)
