"""What is asked of studies: find, list, create, budget, state."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import ColumnElement, Connection, Table, case, delete, func, insert, select, update

from lrsearch.errors import StudyError
from lrsearch.plain_data import Fields
from lrsearch.storage.column_types import db_now
from lrsearch.storage.records import QueuedRecord, StudyRecord, fetch_as, fetch_first_as
from lrsearch.storage.tables import (
    confirmations,
    optuna_studies,
    queue,
    range_tests,
    studies,
    study_ids,
    trials,
)
from lrsearch.trial.states import StudyState, TrialState

#: Name of the row that stands for a deleted study while the next one is made.
_DELETED = "deleted study of lrsearch"


def by_name(connection: Connection, name: str) -> StudyRecord | None:
    return fetch_first_as(connection, select(studies).where(studies.c.name == name), StudyRecord)


def everything(connection: Connection) -> Sequence[StudyRecord]:
    """All studies, oldest first."""
    return fetch_as(connection, select(studies).order_by(studies.c.study_id), StudyRecord)


def of_project(connection: Connection, project: str) -> Sequence[StudyRecord]:
    """Its studies, the highest priority first, then the oldest."""
    theirs = select(studies).where(studies.c.project == project)
    query = theirs.order_by(studies.c.priority.desc(), studies.c.study_id)
    return fetch_as(connection, query, StudyRecord)


def create(connection: Connection, values: Fields) -> None:
    """Our half of a study; Optuna's exists already."""
    start = {
        "state": StudyState.OPEN,
        "trials_used": 0,
        "epochs_used": 0.0,
        "epochs_reserved": 0.0,
        "created_at": db_now(),
        "token": secrets.token_hex(16),
    }
    connection.execute(insert(studies).values(**start, **values))
    connection.execute(insert(study_ids).values(id=values["study_id"]))


@contextmanager
def unused_id(connection: Connection) -> Iterator[None]:
    """Inside, Optuna's next study gets a number that no study of ours ever had.

    Workers of a deleted study still ask for trials by its number. PostgreSQL counts on by itself;
    SQLite gives the highest that is there plus one.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    last = connection.execute(select(func.coalesce(func.max(study_ids.c.id), 0))).scalar_one()
    there = select(func.coalesce(func.max(optuna_studies.c.study_id), 0))
    if last <= connection.execute(there).scalar_one():
        yield
        return
    connection.execute(insert(optuna_studies).values(study_id=last, study_name=_DELETED))
    yield
    connection.execute(delete(optuna_studies).where(optuna_studies.c.study_id == last))


def optuna_id(connection: Connection, name: str) -> int | None:
    """Optuna's study of this name, be it ours or a plain one."""
    query = select(optuna_studies.c.study_id).where(optuna_studies.c.study_name == name)
    return connection.execute(query).scalar()


def rename(connection: Connection, study_id: int, definition: Fields) -> None:
    """Give a study the name that its new definition has, here and in Optuna."""
    name = definition["name"]
    change(connection, study_id, name=name, definition=definition)
    theirs = optuna_studies.c.study_id == study_id
    connection.execute(update(optuna_studies).where(theirs).values(study_name=name))


def change(connection: Connection, study_id: int, **values: object) -> None:
    """Set columns of a study by their names."""
    connection.execute(update(studies).where(studies.c.study_id == study_id).values(**values))


def set_state(connection: Connection, study_id: int, state: StudyState) -> None:
    change(connection, study_id, state=state)


def lock(connection: Connection, study_id: int) -> StudyRecord:
    """The study's row, held until the transaction ends, so that one process decides at a time.

    Raises StudyError if it was deleted.
    """
    query = select(studies).where(studies.c.study_id == study_id).with_for_update()
    found = fetch_first_as(connection, query, StudyRecord)
    if found is None:
        raise StudyError("the study was deleted meanwhile")
    return found


def hold(connection: Connection, study_id: int) -> None:
    """As `lock`, for who needs nothing of the row."""
    query = select(studies.c.study_id).where(studies.c.study_id == study_id)
    if connection.execute(query.with_for_update()).first() is None:
        raise StudyError("the study was deleted meanwhile")


def epochs_total(connection: Connection, study_id: int) -> float | None:
    """The budget's epochs; None where it has none, or the study was deleted."""
    query = select(studies.c.epochs_total).where(studies.c.study_id == study_id)
    found: float | None = connection.execute(query).scalar()
    return found


def require(connection: Connection, study: StudyRecord) -> None:
    """Raises StudyError if the study is gone, be its number another's by now.

    So it may be where a database was restored from a backup.
    """
    c = studies.c
    query = select(c.token).where(c.study_id == study.study_id)
    found = connection.execute(query).first()
    if found is None or found.token != study.token:
        raise StudyError("the study was deleted meanwhile")


def by_id(connection: Connection, study_id: int) -> StudyRecord | None:
    query = select(studies).where(studies.c.study_id == study_id)
    return fetch_first_as(connection, query, StudyRecord)


def counts(connection: Connection, study_id: int) -> dict[str, int]:
    """How many trials are in each state; every state has a number."""
    query = (
        select(trials.c.state, func.count())
        .where(trials.c.study_id == study_id)
        .group_by(trials.c.state)
    )
    found = {str(row[0]): int(row[1]) for row in connection.execute(query)}
    return {state.value: found.get(state.value, 0) for state in TrialState}


def epochs(connection: Connection, study_id: int) -> dict[str, float]:
    """Epochs trained so far by each part of the study.

    What an audited trial trained beyond the rung that would have stopped it is the audit's.
    """
    beyond = trials.c.epochs - trials.c.audit_from
    audit = _total(connection, study_id, trials, case((beyond > 0, beyond)))
    return {
        "range_test": _total(connection, study_id, range_tests, range_tests.c.epochs),
        "search": _total(connection, study_id, trials, trials.c.epochs) - audit,
        "audit": audit,
        "confirm": _total(connection, study_id, confirmations, confirmations.c.epochs),
    }


def seconds(connection: Connection, study_id: int) -> dict[str, float]:
    """Training time so far, summed over workers; that of audited trials goes by their epochs."""
    t = trials.c
    beyond = t.seconds * (t.epochs - t.audit_from) / func.nullif(t.epochs, 0.0)
    audit = _total(connection, study_id, trials, case((beyond > 0, beyond)))
    return {
        "range_test": _total(connection, study_id, range_tests, range_tests.c.seconds),
        "search": _total(connection, study_id, trials, t.seconds) - audit,
        "audit": audit,
        "confirm": _total(connection, study_id, confirmations, confirmations.c.seconds),
    }


def _total(
    connection: Connection, study_id: int, table: Table, each: ColumnElement[float]
) -> float:
    """The sum over the study's rows of a table; NULL counts nothing."""
    query = select(func.coalesce(func.sum(each), 0.0)).where(table.c.study_id == study_id)
    return float(connection.execute(query).scalar_one())


def enqueue(connection: Connection, study_id: int, kind: str, recipe: Fields) -> None:
    connection.execute(insert(queue).values(study_id=study_id, kind=kind, recipe=dict(recipe)))


def unqueue(connection: Connection, study_id: int, kind: str) -> None:
    """Take the recipes of a kind that no trial has taken out of the queue."""
    theirs = (queue.c.study_id == study_id, queue.c.kind == kind, queue.c.ticket.is_(None))
    connection.execute(delete(queue).where(*theirs))


def waiting(connection: Connection, study_id: int) -> Sequence[QueuedRecord]:
    """Enqueued recipes that no trial has taken, in their order."""
    query = (
        select(queue)
        .where(queue.c.study_id == study_id, queue.c.ticket.is_(None))
        .order_by(queue.c.id)
    )
    return fetch_as(connection, query, QueuedRecord)


def queued(connection: Connection, study_id: int) -> int:
    """How many enqueued recipes wait for a trial."""
    query = select(func.count()).where(queue.c.study_id == study_id, queue.c.ticket.is_(None))
    return int(connection.execute(query).scalar_one())


def elapsed(connection: Connection, study_id: int) -> float:
    """Seconds since the first trial was asked for, by the database's clock; 0 before it."""
    query = select(func.coalesce(db_now() - studies.c.first_ask_at, 0.0)).where(
        studies.c.study_id == study_id
    )
    return float(connection.execute(query).scalar_one())
