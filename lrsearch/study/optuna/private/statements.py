"""What workers write into Optuna's tables, as statements that are built once.

To build one takes as long as to send it and get its answer.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from optuna.trial import TrialState as OptunaState
from sqlalchemy import (
    CTE,
    ColumnElement,
    Executable,
    Insert,
    Integer,
    Select,
    String,
    Update,
    bindparam,
    cast,
    exists,
    func,
    insert,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from lrsearch.storage.postgresql_trials import Parts
from lrsearch.storage.rows import from_json, together
from lrsearch.study.optuna.attributes import CONSTRAINTS, TICKET
from lrsearch.study.optuna.private import tables as t


@cache
def started() -> ReturningInsert[Any]:
    """A new running trial."""
    # Optuna counts a trial's predecessors for its number, which takes the longer the more there
    # are. Within a study ids rise, so the newest trial's number plus one is the same.
    c, study_id = t.trials.c, bindparam("of_study", type_=Integer)
    newest = select(c.number + 1).where(c.study_id == study_id).order_by(c.trial_id.desc()).limit(1)
    new = insert(t.trials).values(
        study_id=study_id,
        number=func.coalesce(newest.scalar_subquery(), 0),
        state=OptunaState.RUNNING,
        datetime_start=t.utc_now(),
    )
    return new.returning(c.trial_id, c.number)


@cache
def started_with_ticket() -> Select[Any]:
    made = started().cte("made")
    ticket = bindparam("by_ticket", type_=String)
    values = select(made.c.trial_id, literal(TICKET), ticket)
    known = insert(t.user_attributes).from_select(["trial_id", "key", "value_json"], values)
    return select(made.c.trial_id, made.c.number).add_cte(known.cte("known"))


def new_trial_parts(taken: CTE, before: ColumnElement[int]) -> tuple[CTE, Sequence[CTE]]:
    """See `storage.postgresql_trials.NewTrials`."""
    c, study_id = t.trials.c, bindparam("of_study", type_=Integer)
    newest = select(c.number).where(c.study_id == study_id).order_by(c.trial_id.desc()).limit(1)
    # Trials may have been made since this statement began, one for each ticket: not looked at.
    number = func.coalesce(newest.scalar_subquery(), -1) + taken.c.ticket - before
    values = {
        "study_id": study_id,
        "number": number,
        "state": literal(OptunaState.RUNNING, c.state.type),
        "datetime_start": t.utc_now(),
    }
    new = insert(t.trials).from_select(list(values), select(*values.values()).select_from(taken))
    made = new.returning(c.trial_id, c.number).cte("theirs")
    ticket = cast(taken.c.ticket, String)
    known = select(made.c.trial_id, literal(TICKET), ticket).select_from(
        made.join(taken, literal(True))
    )
    rows = insert(t.user_attributes).from_select(["trial_id", "key", "value_json"], known)
    return made, [rows.cte("known")]


@cache
def reported(dialect: str) -> Insert:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    new = insert(t.reports)
    content = {name: new.excluded[name] for name in t.report_columns(0.0)}
    return new.on_conflict_do_update(index_elements=["trial_id", "step"], set_=content)


def report_parts(held: CTE) -> list[CTE]:
    """`reported` as parts, see `storage.postgresql_trials.Beside`."""
    content = t.report_columns(0.0)
    given = {
        name: bindparam(name, type_=t.reports.c[name].type)
        for name in ("trial_id", "step", *content)
    }
    row = select(*given.values()).where(exists().select_from(held))
    new = postgresql.insert(t.reports).from_select(list(given), row)
    same = {name: new.excluded[name] for name in content}
    changed = new.on_conflict_do_update(index_elements=["trial_id", "step"], set_=same)
    return [changed.cte("report")]


@cache
def ended(dialect: str, *, has_value: bool, by_report: bool) -> tuple[Executable, ...]:
    """What ends a trial, with the value that is given, or its last report, or none."""
    parts = _ended(dialect, true(), has_value=has_value, by_report=by_report)
    return together(dialect, parts)


@cache
def end_parts(*, has_value: bool, by_report: bool) -> Parts:
    """`ended` as parts, see `storage.postgresql_trials.Beside`."""

    def parts(mine: CTE) -> list[CTE]:
        condition = exists().select_from(mine)
        made = _ended("postgresql", condition, has_value=has_value, by_report=by_report)
        return [one.cte(f"part{number}") for number, one in enumerate(made)]

    return parts


def _ended(
    dialect: str, condition: ColumnElement[bool], *, has_value: bool, by_report: bool
) -> tuple[Insert | Update, ...]:
    """Only where the condition holds."""
    trial = bindparam("of_optunas", type_=Integer)
    new = postgresql.insert if dialect == "postgresql" else sqlite.insert
    violation = bindparam("violation", type_=String)
    row = select(trial, literal(CONSTRAINTS), violation).where(condition)
    attribute = new(t.system_attributes).from_select(["trial_id", "key", "value_json"], row)
    change = update(t.trials).where(t.trials.c.trial_id == trial, condition)
    state = bindparam("state_now", type_=t.trials.c.state.type)
    parts: list[Insert | Update] = [
        attribute.on_conflict_do_nothing(),
        change.values(state=state, datetime_complete=t.utc_now()),
    ]
    if has_value:
        names = t.value_columns(0.0)
        given = {name: bindparam(name, type_=t.values.c[name].type) for name in names}
        row = select(trial, literal(0), *given.values()).where(condition)
        columns = ["trial_id", "objective", *given]
        parts.append(insert(t.values).from_select(columns, row))
    elif by_report:
        parts.append(value_by_report(condition))
    return tuple(parts)


def value_by_report(condition: ColumnElement[bool]) -> Insert:
    """The value of a pruned trial: its last report."""
    c = t.reports.c
    kind = literal(t.FINITE, t.values.c.value_type.type)  # only finite values are reported
    last = (
        select(c.trial_id, literal(0), c.intermediate_value, kind)
        .where(c.trial_id == bindparam("of_optunas", type_=Integer), condition)
        .order_by(c.step.desc())
        .limit(1)
    )
    columns = ["trial_id", "objective", "value", "value_type"]
    return insert(t.values).from_select(columns, last)


def recipe_parts(linked: CTE) -> list[CTE]:
    """See `storage.postgresql_trials.Beside`; rows that are there stay."""
    parts = []
    for name, table in RECIPE_TABLES.items():
        columns = [column for column in table.c if not column.primary_key]
        source = from_json(name, columns).where(exists().select_from(linked))
        new = postgresql.insert(table).from_select([column.name for column in columns], source)
        parts.append(new.on_conflict_do_nothing().cte(f"new_{name}"))
    return parts


RECIPE_TABLES = {
    "params": t.params,
    "users": t.user_attributes,
    "systems": t.system_attributes,
}
