"""On PostgreSQL: a trial's start, its recipe and its end, each written by one statement.

`trials.start`, `trials.link` and `trials.record` come to the same in several. Optuna's rows are
made in the same statements, by parts that who knows its tables gives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Float,
    Integer,
    Select,
    String,
    bindparam,
    exists,
    insert,
    literal,
    select,
    update,
)

from lrsearch.plain_data import Fields
from lrsearch.storage import leases, tickets
from lrsearch.storage import trials as our_trials
from lrsearch.storage.column_types import db_now
from lrsearch.storage.end_counts import counted
from lrsearch.storage.ends import End
from lrsearch.storage.last_statement import execute_last
from lrsearch.storage.leases import Claim, Kind
from lrsearch.storage.records import TrialRecord
from lrsearch.storage.tables import studies, trials
from lrsearch.trial.states import TrialState


@dataclass(frozen=True)
class NewTrials:
    """How Optuna's trials are made beside ours."""

    #: From a table with one `ticket`, or none, and from how many tickets were taken when the
    #: statement began: a table with the `trial_id` and `number` of Optuna's new trial, and what
    #: else is to be written. Its parameter is `of_study`.
    parts: Callable[[CTE, ColumnElement[int]], tuple[CTE, Sequence[CTE]]]


#: From a table with one row, or none: what else is to be written, which is nothing then.
Parts = Callable[[CTE], Sequence[CTE]]


@dataclass(frozen=True)
class Beside:
    """How Optuna's rows are written beside ours."""

    parts: Parts
    #: The parameters of the parts.
    values: Fields


def start(
    connection: Connection,
    study_id: int,
    worker: str,
    lease: float,
    theirs: NewTrials,
    *,
    horizon: float,
    keep: float | None,
    known: int,
) -> TrialRecord | None:
    """As `trials.start` where nothing waits in the queue, with Optuna's trial; None likewise.

    `known` is how many trials of other studies come first in Optuna. The study's row is locked by
    this statement, which is the last one of its transaction: see `execute_last`.
    """
    values = {
        "of_study": study_id,
        "by_worker": worker,
        "lease": lease,
        "horizon": horizon,
        "known": known,
    }
    found = execute_last(connection, _started(keep, theirs), values).mappings().first()
    return None if found is None else TrialRecord(**found)


@lru_cache(maxsize=16)
def _started(keep: float | None, theirs: NewTrials) -> Select[Any]:
    of_study = bindparam("of_study", type_=Integer)
    # One snapshot has both the tickets that were taken and the trials that were made for them.
    before = select(studies.c.trials_used).where(studies.c.study_id == of_study).scalar_subquery()
    taken = tickets.taken(keep).cte("taken")
    new, others = theirs.parts(taken, before)
    values: dict[str, ColumnElement[Any]] = {
        "study_id": of_study,
        "ticket": taken.c.ticket,
        "trial_id": new.c.trial_id,
        "number": new.c.number - bindparam("known", type_=Integer),
        "kind": literal("sampled"),
        "state": literal(str(TrialState.RUNNING)),
        "worker": bindparam("by_worker", type_=String),
        "attempt": literal(1),
        "epochs": literal(0.0, Float),
        "seconds": literal(0.0, Float),
        "started_at": db_now(),
    }
    row = select(*values.values()).select_from(taken.join(new, literal(True)))
    made = insert(trials).from_select(list(values), row).returning(*trials.c).cte("made")
    return select(made).add_cte(*others, tickets.first_lease(made.c.id).cte("leased"))


def link(
    connection: Connection,
    claim: Claim,
    recipe: Fields,
    fingerprint: str,
    theirs: Beside,
    *,
    may_repeat: bool,
) -> bool:
    """As `trials.link`, with Optuna's rows of the recipe."""
    values = {
        "new_recipe": dict(recipe),
        "new_mark": fingerprint,
        **leases.named(claim),
        **theirs.values,
    }
    query = _linked(theirs.parts, may_repeat=may_repeat)
    return connection.execute(query, values).first() is not None


@lru_cache(maxsize=4)
def _linked(parts: Parts, *, may_repeat: bool) -> Select[Any]:
    linked = our_trials.linked(may_repeat=may_repeat).returning(trials.c.study_id).cte("linked")
    return select(linked.c.study_id).add_cte(*parts(linked))


def record(
    connection: Connection,
    claim: Claim,
    end: End,
    theirs: Beside,
    *,
    horizon: float,
    is_last: bool,
) -> bool:
    """As `trials.record`, with the end of Optuna's trial. Locks the trial, then the study's row.

    `is_last` says that the transaction has no further statement: see `execute_last`.
    """
    columns = end.columns()
    values = {
        **{f"new_{name}": value for name, value in columns.items()},
        **leases.named(claim),
        "horizon": horizon,
        "trained": end.epochs,
        "of_kind": claim.kind,
        "of_item": claim.id,
        "of_attempt": claim.attempt,
        **theirs.values,
    }
    query = _recorded(tuple(columns), theirs.parts)
    execute = execute_last if is_last else Connection.execute
    return execute(connection, query, values).first() is not None


@lru_cache(maxsize=64)
def _recorded(columns: Sequence[str], parts: Parts) -> Select[Any]:
    mine = select(trials.c.id, trials.c.study_id).where(leases.held_by_name(Kind.TRIAL))
    held = mine.with_for_update().cte("held")
    place = counted(held.c.study_id).cte("counted")
    ended = (
        update(trials)
        .where(trials.c.id == held.c.id)
        .values(
            **{name: bindparam(f"new_{name}") for name in columns},
            ended_at=db_now(),
            ended=select(place.c.trials_ended).scalar_subquery(),
        )
        .returning(trials.c.id)
        .cte("ended")
    )
    let_go = leases.LET_GO.where(exists().select_from(held)).cte("let_go")
    return select(ended.c.id).add_cte(let_go, *parts(held))
