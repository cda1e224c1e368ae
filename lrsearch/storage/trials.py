"""What is asked of trials: a ticket, a takeover, an end; and what a study looks like so far.

Every write to a running trial names the attempt that made it: a worker that lost its trial writes
nothing.
"""

from collections.abc import Collection, Sequence
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    Update,
    bindparam,
    insert,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from lrsearch.plain_data import Fields
from lrsearch.storage import end_counts, leases, repeats, tickets
from lrsearch.storage.column_types import db_now
from lrsearch.storage.ends import End
from lrsearch.storage.leases import Claim
from lrsearch.storage.records import TrialRecord, fetch_as, fetch_first_as
from lrsearch.storage.tables import trials
from lrsearch.trial.states import OPEN, TrialState


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
    row = fetch_first_as(connection, query, TrialRecord)
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
    queued: bool = True,
) -> TrialRecord | None:
    """Take a ticket and a new trial, leased for `lease` seconds; None when the budget is used.

    Ticket, reservation of `horizon` epochs and trial are one transaction: the budget is exact
    whatever dies. `keep` is the share of the budget's epochs that search leaves for confirmation;
    None: the caller has looked at epochs. `queued` is whether a recipe may wait in the queue. The
    study's row stays locked.
    """
    ticket = tickets.take(connection, study_id, horizon=horizon, keep=keep)
    if ticket is None:
        return None
    given = tickets.pop_queue(connection, study_id, ticket) if queued else None
    values = {
        "of_study": study_id,
        "by_ticket": ticket,
        "of_kind": given.kind if given else "sampled",
        "of_recipe": given.recipe if given else None,
        "by_worker": worker,
        "lease": lease,
    }
    if connection.dialect.name == "postgresql":  # one round trip
        return TrialRecord(**connection.execute(_made_with_lease(), values).mappings().one())
    row = TrialRecord(**connection.execute(_made(), values).mappings().one())
    connection.execute(tickets.first_lease(literal(row.id)), values)
    return row


@cache
def _made() -> ReturningInsert[Any]:
    """A new trial with its first worker."""
    new = insert(trials).values(
        study_id=bindparam("of_study"),
        ticket=bindparam("by_ticket"),
        kind=bindparam("of_kind"),
        recipe=bindparam("of_recipe"),
        state=TrialState.RUNNING,
        worker=bindparam("by_worker"),
        attempt=1,
        epochs=0.0,
        seconds=0.0,
        started_at=db_now(),
    )
    return new.returning(*trials.c)


@cache
def _made_with_lease() -> Select[Any]:
    made = _made().cte("made")
    return select(made).add_cte(tickets.first_lease(made.c.id).cte("leased"))


_MINE = update(trials).where(leases.held_by_name(leases.Kind.TRIAL))
_ATTACH = _MINE.values(trial_id=bindparam("new_id"), number=bindparam("new_number"))


def attach(connection: Connection, claim: Claim, *, trial_id: int, number: int) -> bool:
    """Record Optuna's trial; False if the claim is lost."""
    values = {"new_id": trial_id, "new_number": number, **leases.named(claim)}
    return bool(connection.execute(_ATTACH, values).rowcount)


def link(
    connection: Connection,
    claim: Claim,
    recipe: Fields,
    fingerprint: str | None = None,
    *,
    may_repeat: bool = True,
) -> bool:
    """Record the recipe, and what tells it from others; False if the claim is lost.

    Unless it `may_repeat`, False too where another trial of the study has it: see `repeats.hold`.
    """
    values = {"new_recipe": dict(recipe), "new_mark": fingerprint, **leases.named(claim)}
    return bool(connection.execute(linked(may_repeat=may_repeat), values).rowcount)


@cache
def linked(*, may_repeat: bool) -> Update:
    """The statement of `link`; its parameters are `new_recipe`, `new_mark` and those of a claim."""
    query = _MINE.values(recipe=bindparam("new_recipe"), fingerprint=bindparam("new_mark"))
    return query if may_repeat else query.where(repeats.has_no_other())


def record(connection: Connection, claim: Claim, end: End, *, horizon: float) -> bool:
    """End a trial, once, and count that; False if the claim is lost."""
    study_id = set_end(connection, claim, end)
    if study_id is None:
        return False
    end_counts.count_end(connection, study_id, claim, end, horizon=horizon)
    return True


def set_end(connection: Connection, claim: Claim, end: End) -> int | None:
    """End a trial, once; its study, which counts it: `end_counts`. None if the claim is lost."""
    columns = end.columns()
    values = {f"new_{name}": value for name, value in columns.items()}
    values.update(leases.named(claim))
    study_id: int | None = connection.execute(_ended(tuple(columns)), values).scalar()
    return study_id


@lru_cache(maxsize=64)
def _ended(columns: Sequence[str]) -> ReturningUpdate[Any]:
    new: Fields = {name: bindparam(f"new_{name}") for name in columns}
    return _MINE.values(**new, ended_at=db_now()).returning(trials.c.study_id)


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
