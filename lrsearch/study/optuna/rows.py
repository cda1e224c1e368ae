"""Optuna's studies and trials, written in transactions of ours.

Optuna's own storage commits each of its writes by itself and reads whole trials before it. Here a
trial changes together with our rows, or not at all, and what Optuna then sees is what it would have
written itself. Whoever opened the study before does not see new ends: Optuna caches what has ended.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import (
    Connection,
    Table,
    and_,
    delete,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    update,
)

from lrsearch.storage.rows import insert_or
from lrsearch.storage.tables import trials
from lrsearch.study.optuna import tables as t
from lrsearch.study.optuna.encoding import VIOLATION
from lrsearch.trial.states import TrialState

#: User attribute that ties a trial to its ticket.
TICKET_ATTRIBUTE = "lrsearch:ticket"

# Studies, and trials that ended elsewhere


def insert_study(connection: Connection, name: str, direction: str) -> int:
    """A new study of Optuna's; its id."""
    query = insert(t.studies).values(study_name=name).returning(t.studies.c.study_id)
    study_id = int(connection.execute(query).scalar_one())
    values = {
        "study_id": study_id,
        "objective": 0,
        "direction": StudyDirection[direction.upper()],
    }
    connection.execute(insert(t.directions).values(values))
    return study_id


def delete_study(connection: Connection, study_id: int) -> None:
    """Remove a study with all its trials; our rows refer to them and go with them.

    Optuna's own way takes six statements a trial.
    """
    mine = select(t.trials.c.trial_id).where(t.trials.c.study_id == study_id)
    for table in t.BELONGING:
        of_study = table.c.get("study_id")
        rows = table.c.trial_id.in_(mine) if of_study is None else of_study == study_id
        connection.execute(delete(table).where(rows))


def count_trials(connection: Connection, study_id: int) -> int:
    """How many trials a study of Optuna's has, those of no ticket included."""
    query = select(func.count()).select_from(t.trials).where(t.trials.c.study_id == study_id)
    return int(connection.execute(query).scalar_one())


def insert_trials(
    connection: Connection, study_id: int, trials: Sequence[FrozenTrial]
) -> list[int]:
    """Append ended trials, numbered on from those that are there; their ids."""
    c = t.trials.c
    first = count_trials(connection, study_id)
    rows = [
        {
            "study_id": study_id,
            "number": number,
            "state": trial.state,
            **t.time_columns(trial.datetime_start, trial.datetime_complete),
        }
        for number, trial in enumerate(trials, start=first)
    ]
    _insert(connection, t.trials, rows)
    query = select(c.trial_id).where(c.study_id == study_id, c.number >= first)
    ids = [int(i) for i in connection.execute(query.order_by(c.number)).scalars()]
    _insert_parts(connection, list(zip(ids, trials, strict=True)))
    return ids


def _insert_parts(connection: Connection, trials: Sequence[tuple[int, FrozenTrial]]) -> None:
    """Values, parameters, attributes and reports of trials that have their ids."""
    values = [
        {"trial_id": i, "objective": 0, **t.value_columns(trial.value)}
        for i, trial in trials
        if trial.value is not None
    ]
    params = [row for i, trial in trials for row in _params(i, trial.params, trial.distributions)]
    reports = [
        {"trial_id": i, "step": step, **t.report_columns(value)}
        for i, trial in trials
        for step, value in trial.intermediate_values.items()
    ]
    _insert(connection, t.values, values)
    _insert(connection, t.params, params)
    _insert(connection, t.reports, reports)
    for table, attribute in (
        (t.user_attributes, "user_attrs"),
        (t.system_attributes, "system_attrs"),
    ):
        rows = [
            _attribute(i, key, value)
            for i, trial in trials
            for key, value in getattr(trial, attribute).items()
        ]
        _insert(connection, table, rows)


def _params(
    trial_id: int, params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
) -> list[dict[str, Any]]:
    return [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": distribution.to_internal_repr(params[name]),
            "distribution_json": distribution_to_json(distribution),
        }
        for name, distribution in distributions.items()
    ]


def _attribute(trial_id: int, key: str, value: object) -> dict[str, Any]:
    return {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}


def _insert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


# A trial of ours, from its ticket to its end


def start_trial(connection: Connection, study_id: int, ticket: int) -> tuple[int, int]:
    """A running trial for a ticket; its id and number. The caller holds our row of the study.

    Optuna counts a trial's predecessors for its number, which takes the longer the more there are.
    Within a study ids rise, so the newest trial's number plus one is the same.
    """
    c = t.trials.c
    newest = select(c.number + 1).where(c.study_id == study_id).order_by(c.trial_id.desc()).limit(1)
    query = (
        insert(t.trials)
        .values(
            study_id=study_id,
            number=func.coalesce(newest.scalar_subquery(), 0),
            state=OptunaState.RUNNING,
            datetime_start=t.utc_now(),
        )
        .returning(c.trial_id, c.number)
    )
    trial_id, number = connection.execute(query).one()
    _insert(connection, t.user_attributes, [_attribute(trial_id, TICKET_ATTRIBUTE, ticket)])
    return trial_id, number


def add_params(
    connection: Connection,
    trial_id: int,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
) -> None:
    """Write a trial's parameters; twice is the same as once."""
    rows = _params(trial_id, params, distributions)
    if rows:
        query = insert_or(connection, t.params).on_conflict_do_nothing()
        connection.execute(query, rows)


def report(connection: Connection, trial_id: int, step: int, value: float) -> None:
    """Write a value at a step, in place of what an earlier attempt has reported there."""
    content = t.report_columns(value)
    query = insert_or(connection, t.reports).values(trial_id=trial_id, step=step, **content)
    same = ["trial_id", "step"]
    connection.execute(query.on_conflict_do_update(index_elements=same, set_=content))


def end_trial(
    connection: Connection,
    trial_id: int,
    state: OptunaState,
    *,
    value: float | None,
    violation: float,
    bad: float | None = None,
) -> None:
    """End a trial: state, value where it is complete, and how far it was beyond the stable.

    `bad` is reported one step after the last. A pruned trial's value is its last report, as
    `optuna.Study.tell` has it.
    """
    row = _attribute(trial_id, VIOLATION, violation)
    constraint = insert_or(connection, t.system_attributes).values(row)
    connection.execute(constraint.on_conflict_do_nothing())
    if bad is not None:
        _report_last(connection, trial_id, bad)
    if value is not None:
        row = {"trial_id": trial_id, "objective": 0, **t.value_columns(value)}
        connection.execute(insert(t.values).values(row))
    elif state == OptunaState.PRUNED:
        _value_by_report(connection, trial_id)
    change = update(t.trials).where(t.trials.c.trial_id == trial_id)
    connection.execute(change.values(state=state, datetime_complete=t.utc_now()))


def fail_trial(connection: Connection, trial_id: int) -> None:
    """End a trial that tells nothing."""
    end_trial(connection, trial_id, OptunaState.FAIL, value=None, violation=0.0)


def _report_last(connection: Connection, trial_id: int, value: float) -> None:
    c = t.reports.c
    step = select(func.coalesce(func.max(c.step), 0) + 1).where(c.trial_id == trial_id)
    row = {"trial_id": trial_id, "step": step.scalar_subquery(), **t.report_columns(value)}
    connection.execute(insert(t.reports).values(row))


def _value_by_report(connection: Connection, trial_id: int) -> None:
    c = t.reports.c
    kind = literal(t.FINITE, t.values.c.value_type.type)  # what is not finite is never reported
    last = (
        select(c.trial_id, literal(0), c.intermediate_value, kind)
        .where(c.trial_id == trial_id)
        .order_by(c.step.desc())
        .limit(1)
    )
    columns = ["trial_id", "objective", "value", "value_type"]
    connection.execute(insert(t.values).from_select(columns, last))


def differing(connection: Connection, study_id: int) -> list[int]:
    """Numbers of our trials that run in one half alone, or are complete in one half alone."""
    theirs, mine = t.trials.c.state, trials.c
    complete = and_(mine.state == TrialState.COMPLETE, mine.value.is_not(None))
    agree = or_(
        and_(mine.state == TrialState.RUNNING, theirs == OptunaState.RUNNING),
        and_(complete, theirs == OptunaState.COMPLETE),
        and_(
            mine.state != TrialState.RUNNING,
            not_(complete),
            theirs.in_((OptunaState.PRUNED, OptunaState.FAIL)),
        ),
    )
    query = (
        select(mine.number)
        .join(t.trials, t.trials.c.trial_id == mine.trial_id)
        .where(mine.study_id == study_id, not_(agree))
        .order_by(mine.number)
    )
    return list(connection.execute(query).scalars())
