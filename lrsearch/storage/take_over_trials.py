"""What moves from a study to its successor: ended trials with all their rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    bindparam,
    delete,
    insert,
    literal,
    select,
    update,
)

from lrsearch.plain_data import Document
from lrsearch.storage.column_types import db_now
from lrsearch.storage.records import BegunTrial, RangeTestRecord, TrialRecord, fetch_as
from lrsearch.storage.tables import confirmations, curves, range_tests, rungs, studies, trials
from lrsearch.trial import states
from lrsearch.trial.states import TrialState


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A trial of the old study, and what it is in the new one."""

    row: BegunTrial
    ticket: int
    number: int
    #: Optuna's trial in the new study.
    trial_id: int
    kind: str


def hold_running(connection: Connection, study_id: int) -> Sequence[TrialRecord]:
    """Running trials, locked: no worker takes them over until the transaction ends.

    Range tests and confirmation runs are locked too, and all before their study: in the order in
    which workers lock them.
    """
    for table in (range_tests, confirmations):
        held = select(table.c.id).where(table.c.study_id == study_id).order_by(table.c.id)
        connection.execute(held.with_for_update()).all()
    query = (
        select(trials)
        .where(trials.c.study_id == study_id, trials.c.state == TrialState.RUNNING)
        .order_by(trials.c.ticket)
        .with_for_update()
    )
    return fetch_as(connection, query, TrialRecord)


def end_interrupted(connection: Connection, study_id: int, reason: str) -> None:
    """End what no worker holds in a study that is closed, and forget what was still to come."""
    mine = (trials.c.study_id == study_id, trials.c.state == TrialState.RUNNING)
    running = connection.execute(select(trials.c.id).where(*mine).order_by(trials.c.ticket))
    ids = list(running.scalars())
    change = update(studies).where(studies.c.study_id == study_id)
    count = change.values(epochs_reserved=0.0, trials_ended=studies.c.trials_ended + len(ids))
    last = connection.execute(count.returning(studies.c.trials_ended)).scalar_one()
    values = {"state": TrialState.FAILED, "reason": reason, "ended_at": db_now()}
    for place, trial in enumerate(ids, start=last - len(ids) + 1):
        connection.execute(update(trials).where(trials.c.id == trial).values(**values, ended=place))
    for table in (confirmations, range_tests):
        planned = (table.c.study_id == study_id, table.c.state.in_(states.OPEN))
        connection.execute(delete(table).where(*planned))


def take_over(
    connection: Connection, study_id: int, taken: Sequence[Taken], *, with_rungs: bool
) -> None:
    """Copy trials with their curves into the study, and count them in its budget.

    Signals at rungs go along only where the study has rungs, which are then the same.
    """
    if not taken:
        return
    by_end = sorted(taken, key=lambda item: item.row.ended or 0)
    places = {item.ticket: place for place, item in enumerate(by_end, start=1)}
    rows = [
        {
            **_without_id(item.row),
            "study_id": study_id,
            "ended": places[item.ticket],
            "ticket": item.ticket,
            "number": item.number,
            "trial_id": item.trial_id,
            "kind": item.kind,
            "moved": None,
        }
        for item in taken
    ]
    connection.execute(insert(trials), rows)
    query = select(trials.c.ticket, trials.c.id).where(trials.c.study_id == study_id)
    ids = {row.ticket: row.id for row in connection.execute(query)}
    pairs = [{"old": item.row.id, "new": ids[item.ticket]} for item in taken]
    _copy(connection, curves, pairs, {})
    if with_rungs:
        _copy(connection, rungs, pairs, {"study_id": study_id})
    epochs = sum(item.row.epochs for item in taken)
    number = len(taken)
    used = {"trials_used": number, "trials_ended": number, "epochs_used": epochs}
    _count(connection, study_id, used)


def _without_id(record: TrialRecord | RangeTestRecord) -> Document:
    """The columns of a row that is to be inserted once more."""
    return {name: value for name, value in vars(record).items() if name != "id"}


def _copy(
    connection: Connection,
    table: Table,
    pairs: Sequence[Mapping[str, int]],
    changed: Mapping[str, int],
) -> None:
    """The rows of each pair's old trial once more, for its new one."""
    names = [column.name for column in table.c]
    values: dict[str, ColumnElement[int]] = {
        "trial": bindparam("new"),
        **{name: literal(value) for name, value in changed.items()},
    }
    source = select(*(values.get(name, table.c[name]) for name in names)).where(
        table.c.trial == bindparam("old")
    )
    connection.execute(insert(table).from_select(names, source), pairs)


def copy_range_tests(
    connection: Connection, old: int, new: int, optimizers: Sequence[str]
) -> list[str]:
    """Copy the ended range tests of these optimizers; which there were. Their epochs are used."""
    query = select(range_tests).where(
        range_tests.c.study_id == old,
        range_tests.c.optimizer.in_(optimizers),
        range_tests.c.state == TrialState.COMPLETE,
    )
    tests = fetch_as(connection, query, RangeTestRecord)
    if tests:
        rows = [{**_without_id(test), "study_id": new} for test in tests]
        connection.execute(insert(range_tests), rows)
        _count(connection, new, {"epochs_used": sum(test.epochs for test in tests)})
    return [test.optimizer for test in tests]


def _count(connection: Connection, study_id: int, used: Mapping[str, float]) -> None:
    values = {key: studies.c[key] + number for key, number in used.items()}
    connection.execute(update(studies).where(studies.c.study_id == study_id).values(**values))
