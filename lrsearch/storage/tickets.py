"""Who gets the next trial of a study: whether its budget has one, and which recipe waits for it."""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Insert,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from lrsearch.errors import StudyError
from lrsearch.storage.column_types import db_now
from lrsearch.storage.leases import Kind
from lrsearch.storage.records import QueuedRecord, StudyRecord, fetch_first_as
from lrsearch.storage.tables import leases, queue, studies, trials
from lrsearch.trial.rounding import EPSILON
from lrsearch.trial.states import StudyState, TrialState

#: Which kinds of enqueued recipes come before the others, and after; older studies have `textbook`.
ORDER = {"baseline": 0, "portfolio": 2, "textbook": 2}


@dataclass(frozen=True, kw_only=True)
class Look:
    """What an ask finds in a study."""

    token: str | None
    epochs_total: float | None
    #: Whether a recipe waits in the queue.
    queued: bool
    #: Whether a running trial has no worker.
    free: bool


def look(connection: Connection, study: StudyRecord) -> Look:
    """Raises StudyError if the study is gone, be its number another's by now.

    On PostgreSQL the rest of the transaction is planned once for each session, whatever its values:
    to plan what an ask reads takes 3 ms, and to read it 0.1.
    """
    query = _look(connection.dialect.name)
    found = connection.execute(query, {"of_study": study.study_id}).mappings().first()
    if found is None or found["token"] != study.token:
        raise StudyError("the study was deleted meanwhile")
    return Look(**{name: found[name] for name in _LOOK})


_LOOK = tuple(Look.__dataclass_fields__)


@cache
def _look(dialect: str) -> Select[Any]:
    s, t = studies.c, trials.c
    free = (
        t.study_id == s.study_id,
        t.state == TrialState.RUNNING,
        t.worker.is_(None),
    )
    waiting = (queue.c.study_id == s.study_id, queue.c.ticket.is_(None))
    query = select(
        s.token,
        s.epochs_total,
        exists().where(*waiting).label("queued"),
        exists().where(*free).label("free"),
    )
    if dialect == "postgresql":
        plans_once = func.set_config("plan_cache_mode", "force_generic_plan", literal(True))
        query = query.add_columns(plans_once)
    return query.where(s.study_id == bindparam("of_study"))


def take(
    connection: Connection, study_id: int, *, horizon: float, keep: float | None
) -> int | None:
    """The next ticket, for which `horizon` epochs are reserved; None when the budget is used.

    The study's row stays locked.
    """
    values = {"of_study": study_id, "horizon": horizon}
    ticket: int | None = connection.execute(_take(keep), values).scalar()
    return ticket


@lru_cache(maxsize=16)
def _take(keep: float | None) -> ReturningUpdate[Any]:
    return taken(keep)


def taken(keep: float | None) -> ReturningUpdate[Any]:
    """The next `ticket` as a statement; its parameters are `of_study` and `horizon`."""
    s = studies.c
    return (
        update(studies)
        .where(_budget_left(keep))
        .values(
            trials_used=s.trials_used + 1,
            epochs_reserved=s.epochs_reserved + bindparam("horizon", type_=Float),
            first_ask_at=func.coalesce(s.first_ask_at, db_now()),
        )
        .returning(s.trials_used.label("ticket"))
    )


def _budget_left(keep: float | None) -> ColumnElement[bool]:
    """Its parameters are `of_study` and `horizon`."""
    s, study_id = studies.c, bindparam("of_study", type_=Integer)
    reserve = s.epochs_used + s.epochs_reserved + bindparam("horizon", type_=Float)
    rounding = 1 + EPSILON if keep else 1  # 13 x (1 - 3 / 13) is less than 10
    most = s.epochs_total * (1 - (keep or 0)) * rounding
    late = and_(s.first_ask_at.is_not(None), db_now() >= s.first_ask_at + s.seconds_total)
    # An enqueued recipe is trained in an exhausted study too.
    waits = exists().where(queue.c.study_id == study_id, queue.c.ticket.is_(None))
    return and_(
        s.study_id == study_id,
        s.state == StudyState.OPEN,
        or_(s.trials_total.is_(None), s.trials_used - s.trials_returned < s.trials_total),
        or_(s.exhausted_at.is_(None), waits),
        true() if keep is None else or_(s.epochs_total.is_(None), reserve <= most),
        or_(s.seconds_total.is_(None), not_(late)),
    )


def may_start(connection: Connection, study_id: int, *, horizon: float, keep: float) -> bool:
    """Whether the study is open and its budget has another trial."""
    query = select(studies.c.study_id).where(_budget_left(keep))
    values = {"of_study": study_id, "horizon": horizon}
    return connection.execute(query, values).first() is not None


def pop_queue(connection: Connection, study_id: int, ticket: int) -> QueuedRecord | None:
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


def first_lease(trial: ColumnElement[int]) -> Insert:
    """The first lease of a trial that is new, as a statement.

    Its parameters are `of_study`, `by_worker` and `lease`, in seconds.
    """
    values: dict[str, ColumnElement[Any]] = {
        "kind": literal(str(Kind.TRIAL)),
        "item": trial,
        "study_id": bindparam("of_study", type_=Integer),
        "worker": bindparam("by_worker", type_=String),
        "attempt": literal(1),
        "expires_at": db_now() + bindparam("lease", type_=Float),
        "stop": false(),
    }
    return insert(leases).from_select(list(values), select(*values.values()))
