"""What must hold of a study's rows, looked up in them."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Column, ColumnElement, Connection, exists, func, not_, select

from lrsearch.plain_data import Fields
from lrsearch.storage import curves as curve_queries
from lrsearch.storage.records import CurveRecord, fetch_as
from lrsearch.storage.tables import confirmations, curves, range_tests, trials
from lrsearch.trial.states import MACHINE, OPEN, TrialState


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Counters of a study's budget, as its row keeps them."""

    trials_used: int
    trials_returned: int
    epochs_used: float
    epochs_reserved: float


def totals(
    connection: Connection, study_id: int, horizon_of: Callable[[Fields | None], float]
) -> Totals:
    """The counters of a study's row as its other rows add up to.

    `horizon_of` tells the epochs that a trial of a recipe has reserved.
    """
    t, c, r = trials.c, confirmations.c, range_tests.c
    running = t.state == TrialState.RUNNING

    def count(*where: ColumnElement[bool]) -> int:
        query = select(func.count()).select_from(trials)
        return connection.execute(query.where(t.study_id == study_id, *where)).scalar_one()

    def total(column: Column[float], *where: ColumnElement[bool]) -> float:
        query = select(func.coalesce(func.sum(column), 0.0))
        mine = column.table.c.study_id == study_id
        return float(connection.execute(query.where(mine, *where)).scalar_one())

    recipes = connection.execute(select(t.recipe).where(t.study_id == study_id, running)).scalars()
    return Totals(
        trials_used=count(),
        trials_returned=count(t.kind == MACHINE),
        epochs_used=total(t.epochs, not_(running))
        + total(c.epochs, c.state.not_in(OPEN))
        + total(r.epochs, r.state.not_in(OPEN)),
        epochs_reserved=sum(map(horizon_of, recipes)) + total(r.epochs_reserved, r.state.in_(OPEN)),
    )


def missing_tickets(connection: Connection, study_id: int) -> list[int]:
    """Tickets below the highest that no trial has."""
    query = select(trials.c.ticket).where(trials.c.study_id == study_id)
    tickets = set(connection.execute(query).scalars())
    return sorted(set(range(1, max(tickets, default=0))) - tickets)


def cut_short(connection: Connection, study_id: int) -> list[int]:
    """Numbers of the complete trials that have trained on after the last row of their curve."""
    t, c = trials.c, curves.c
    last = select(func.max(c.epoch)).where(c.trial == t.id).scalar_subquery()
    mine = (t.study_id == study_id, t.state == TrialState.COMPLETE)
    query = select(t.number).where(*mine, t.epochs - last > 1e-6)
    return list(connection.execute(query.order_by(t.number)).scalars())


def without_recipe(connection: Connection, study_id: int) -> list[int]:
    """Numbers of the trials that have a curve, and no recipe that it could be of."""
    t = trials.c
    has_curve = exists().where(curves.c.trial == t.id)
    query = select(t.number).where(t.study_id == study_id, t.recipe.is_(None), has_curve)
    return list(connection.execute(query.order_by(t.number)).scalars())


def gaps(connection: Connection, study_id: int) -> list[int]:
    """Numbers of the ended trials whose curve misses a validation."""
    query = (
        select(trials.c.number, curves)
        .join(trials, trials.c.id == curves.c.trial)
        .where(trials.c.study_id == study_id, trials.c.state != TrialState.RUNNING)
        .order_by(curves.c.trial, curves.c.attempt, curves.c.validation)
    )
    seen: dict[int, list[int]] = {}
    for row in curve_queries.latest(fetch_as(connection, query, CurveRecord)):
        if row.number is not None:
            seen.setdefault(row.number, []).append(row.validation)
    return sorted(n for n, found in seen.items() if found != list(range(1, len(found) + 1)))
