"""Optuna's studies and trials, written into its tables directly."""

import json
from collections.abc import Mapping, Sequence

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
    not_,
    or_,
    select,
)

from lrsearch.plain_data import Fields
from lrsearch.storage.postgresql_trials import Beside, NewTrials
from lrsearch.storage.rows import insert_or
from lrsearch.storage.tables import trials
from lrsearch.study.optuna.attributes import RECIPE, TICKET
from lrsearch.study.optuna.private import statements
from lrsearch.study.optuna.private import tables as t
from lrsearch.study.optuna.sampler_units import Encoding
from lrsearch.study.optuna.writer import OptunaEnd
from lrsearch.trial.states import OPEN, TrialState

#: A row to insert.
Values = Mapping[str, object]


class TableWriter:
    """`OptunaWriter` by plain SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def insert_study(self, name: str, direction: str) -> int:
        query = insert(t.studies).values(study_name=name).returning(t.studies.c.study_id)
        study_id = int(self._connection.execute(query).scalar_one())
        values = {
            "study_id": study_id,
            "objective": 0,
            "direction": StudyDirection[direction.upper()],
        }
        self._connection.execute(insert(t.directions).values(values))
        return study_id

    def delete_study(self, study_id: int) -> None:
        # Optuna's own way takes six statements a trial. Locked, nothing more can refer to them.
        for table in (t.studies, t.trials):
            theirs = select(table.c.study_id).where(table.c.study_id == study_id)
            self._connection.execute(theirs.with_for_update()).all()
        mine = select(t.trials.c.trial_id).where(t.trials.c.study_id == study_id)
        for table in t.BELONGING:
            of_study = table.c.get("study_id")
            rows = table.c.trial_id.in_(mine) if of_study is None else of_study == study_id
            self._connection.execute(delete(table).where(rows))

    def count_trials(self, study_id: int) -> int:
        query = select(func.count()).select_from(t.trials).where(t.trials.c.study_id == study_id)
        return int(self._connection.execute(query).scalar_one())

    def insert_trials(self, study_id: int, trials: Sequence[FrozenTrial]) -> list[int]:
        c = t.trials.c
        first = self.count_trials(study_id)
        rows = [
            {
                "study_id": study_id,
                "number": number,
                "state": trial.state,
                **t.time_columns(trial.datetime_start, trial.datetime_complete),
            }
            for number, trial in enumerate(trials, start=first)
        ]
        self._insert(t.trials, rows)
        query = select(c.trial_id).where(c.study_id == study_id, c.number >= first)
        ids = [int(i) for i in self._connection.execute(query.order_by(c.number)).scalars()]
        self._insert_parts(list(zip(ids, trials, strict=True)))
        return ids

    def _insert_parts(self, trials: Sequence[tuple[int, FrozenTrial]]) -> None:
        """Values, parameters, attributes and reports of trials that have their ids."""
        values = [
            {"trial_id": i, "objective": 0, **t.value_columns(trial.value)}
            for i, trial in trials
            if trial.value is not None
        ]
        params = [
            row for i, trial in trials for row in _params(i, trial.params, trial.distributions)
        ]
        reports = [
            {"trial_id": i, "step": step, **t.report_columns(value)}
            for i, trial in trials
            for step, value in trial.intermediate_values.items()
        ]
        self._insert(t.values, values)
        self._insert(t.params, params)
        self._insert(t.reports, reports)
        users = [row for i, trial in trials for row in _attributes(i, trial.user_attrs)]
        systems = [row for i, trial in trials for row in _attributes(i, trial.system_attrs)]
        self._insert(t.user_attributes, users)
        self._insert(t.system_attributes, systems)

    def _insert(self, table: Table, rows: Sequence[Values]) -> None:
        if rows:
            self._connection.execute(insert(table), rows)

    def _insert_new(self, table: Table, rows: Sequence[Values]) -> None:
        """Insert rows, but for those that are there."""
        if rows:
            query = insert_or(self._connection, table).on_conflict_do_nothing()
            self._connection.execute(query, rows)

    def start_trial(self, study_id: int, ticket: int) -> tuple[int, int]:
        values = {"of_study": study_id, "by_ticket": json.dumps(ticket)}
        if self._connection.dialect.name == "postgresql":  # one round trip
            trial_id, number = self._connection.execute(
                statements.started_with_ticket(), values
            ).one()
            return trial_id, number
        trial_id, number = self._connection.execute(statements.started(), values).one()
        self._insert(t.user_attributes, _attributes(trial_id, {TICKET: ticket}))
        return trial_id, number

    def add_recipe(self, trial_id: int, recipe: Fields, encoding: Encoding) -> None:
        for table, own in _recipe_rows(trial_id, recipe, encoding).items():
            self._insert_new(table, own)

    def new_trials(self) -> NewTrials | None:
        return _NEW_TRIALS if self._connection.dialect.name == "postgresql" else None

    def recipe_rows(self, trial_id: int, recipe: Fields, encoding: Encoding) -> Beside | None:
        if self._connection.dialect.name != "postgresql":
            return None
        rows = _recipe_rows(trial_id, recipe, encoding)
        texts = {
            name: json.dumps(rows[table], ensure_ascii=False)
            for name, table in statements.RECIPE_TABLES.items()
        }
        return Beside(statements.recipe_parts, texts)

    def report(self, trial_id: int, step: int, value: float) -> None:
        row = {"trial_id": trial_id, "step": step, **t.report_columns(value)}
        self._connection.execute(statements.reported(self._connection.dialect.name), row)

    def report_row(self, trial_id: int, step: int, value: float) -> Beside | None:
        if self._connection.dialect.name != "postgresql":
            return None
        row = {"trial_id": trial_id, "step": step, **t.report_columns(value)}
        return Beside(statements.report_parts, row)

    def end_trial(self, trial_id: int, end: OptunaEnd) -> None:
        if end.bad is not None:
            self._report_last(trial_id, end.bad)
        dialect = self._connection.dialect.name
        for statement in statements.ended(dialect, **_kind_of(end)):
            self._connection.execute(statement, _end_values(trial_id, end))

    def end_rows(self, trial_id: int, end: OptunaEnd) -> Beside | None:
        if self._connection.dialect.name != "postgresql" or end.bad is not None:
            return None
        return Beside(statements.end_parts(**_kind_of(end)), _end_values(trial_id, end))

    def _report_last(self, trial_id: int, value: float) -> None:
        c = t.reports.c
        step = select(func.coalesce(func.max(c.step), 0) + 1).where(c.trial_id == trial_id)
        row = {"trial_id": trial_id, "step": step.scalar_subquery(), **t.report_columns(value)}
        self._connection.execute(insert(t.reports).values(row))

    def differing(self, study_id: int) -> list[int]:
        theirs, mine = t.trials.c.state, trials.c
        complete = and_(mine.state == TrialState.COMPLETE, mine.value.is_not(None))
        agree = or_(
            and_(mine.state.in_(OPEN), theirs == OptunaState.RUNNING),
            and_(complete, theirs == OptunaState.COMPLETE),
            and_(
                mine.state.not_in(OPEN),
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
        return list(self._connection.execute(query).scalars())


def _kind_of(end: OptunaEnd) -> dict[str, bool]:
    has_value = end.value is not None
    return {
        "has_value": has_value,
        "by_report": not has_value and end.state == OptunaState.PRUNED,
    }


def _end_values(trial_id: int, end: OptunaEnd) -> Values:
    return {
        "of_optunas": trial_id,
        "violation": json.dumps([end.violation]),
        "state_now": end.state,
        **(t.value_columns(end.value) if end.value is not None else {}),
    }


_NEW_TRIALS = NewTrials(statements.new_trial_parts)


def _recipe_rows(trial_id: int, recipe: Fields, encoding: Encoding) -> dict[Table, list[Values]]:
    return {
        t.params: _params(trial_id, encoding.params, encoding.distributions),
        t.user_attributes: _attributes(trial_id, {RECIPE: recipe}),
        t.system_attributes: _attributes(trial_id, encoding.attributes()),
    }


def _params(
    trial_id: int, params: Mapping[str, object], distributions: Mapping[str, BaseDistribution]
) -> list[Values]:
    return [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": distribution.to_internal_repr(params[name]),
            "distribution_json": distribution_to_json(distribution),
        }
        for name, distribution in distributions.items()
    ]


def _attributes(trial_id: int, attributes: Mapping[str, object]) -> list[Values]:
    return [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        for key, value in attributes.items()
    ]
