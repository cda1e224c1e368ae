"""The end of a trial as its study counts it."""

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, Integer, Update, bindparam, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from lrsearch.storage import leases
from lrsearch.storage.ends import End
from lrsearch.storage.leases import Claim
from lrsearch.storage.tables import studies, trials


def count_end(
    connection: Connection, study_id: int, claim: Claim, end: End, *, horizon: float
) -> None:
    """Count an end that was recorded: the last of its transaction, as the study's row is locked.

    The unused part of the reserved `horizon` (in epochs) returns to the budget. The trial gets its
    place in the order of ends, which is counted in the study's row: ends are committed in that
    order.
    """
    values = {
        "of_study": study_id,
        "of_trial": claim.id,
        "horizon": horizon,
        "trained": end.epochs,
    }
    if connection.dialect.name == "postgresql":  # one round trip
        connection.execute(_counted_and_placed(), values)
    else:
        ended = connection.execute(_counted(), values).scalar_one()
        connection.execute(update(trials).where(trials.c.id == claim.id).values(ended=ended))
    leases.let_go(connection, claim)


@cache
def _counted() -> ReturningUpdate[Any]:
    return counted(bindparam("of_study", type_=Integer))


def counted(study_id: ColumnElement[int]) -> ReturningUpdate[Any]:
    """Count an end, as a statement; its parameters are `horizon` and `trained`."""
    s = studies.c
    return (
        update(studies)
        .where(s.study_id == study_id)
        .values(
            epochs_reserved=s.epochs_reserved - bindparam("horizon", type_=Float),
            epochs_used=s.epochs_used + bindparam("trained", type_=Float),
            trials_ended=s.trials_ended + 1,
        )
        .returning(s.trials_ended)
    )


@cache
def _counted_and_placed() -> Update:
    ended = select(_counted().cte("counted").c.trials_ended).scalar_subquery()
    return update(trials).where(trials.c.id == bindparam("of_trial")).values(ended=ended)
