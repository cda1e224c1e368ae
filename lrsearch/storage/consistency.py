"""What must hold of a study's rows, looked up in them."""

from sqlalchemy import Connection, func, not_, select

from lrsearch.storage import curves as curve_queries
from lrsearch.storage.records import CurveRecord, fetch_as
from lrsearch.storage.tables import confirmations, curves, range_tests, trials
from lrsearch.trial.states import OPEN, TrialState


def totals(connection: Connection, study_id: int, horizon: float) -> dict[str, float]:
    """The counters of a study's row as its other rows add up to."""
    t, c, r = trials.c, confirmations.c, range_tests.c
    running = t.state == TrialState.RUNNING

    def number(query: object) -> float:
        return connection.execute(query).scalar() or 0  # type: ignore[call-overload]

    def total(column: object, *where: object) -> float:
        return float(number(select(func.sum(column)).where(*where)))  # type: ignore[arg-type]

    mine = t.study_id == study_id
    count = select(func.count()).select_from(trials)
    return {
        "trials_used": int(number(count.where(mine))),
        "epochs_used": total(t.epochs, mine, not_(running))
        + total(c.epochs, c.study_id == study_id, c.state.not_in(OPEN))
        + total(r.epochs, r.study_id == study_id, r.state.not_in(OPEN)),
        "epochs_reserved": int(number(count.where(mine, running))) * horizon
        + total(r.epochs_reserved, r.study_id == study_id, r.state.in_(OPEN)),
    }


def missing_tickets(connection: Connection, study_id: int) -> list[int]:
    """Tickets below the highest that no trial has."""
    query = select(trials.c.ticket).where(trials.c.study_id == study_id)
    tickets = set(connection.execute(query).scalars())
    return sorted(set(range(1, max(tickets, default=0))) - tickets)


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
