"""Optuna's studies and trials written in a transaction of ours, with its own table classes.

Its storage commits each trial by itself; here many of them become visible together with our rows,
or none does. Whoever opened the study before does not see them: Optuna caches what has ended.
"""

import json
from collections.abc import Sequence
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, func, insert, select


def insert_study(connection: Connection, name: str, direction: str) -> int:
    """A new study of Optuna's; its id."""
    study = models.StudyModel.__table__
    query = insert(study).values(study_name=name).returning(study.c.study_id)
    study_id = int(connection.execute(query).scalar_one())
    values = {
        "study_id": study_id,
        "objective": 0,
        "direction": StudyDirection[direction.upper()],
    }
    connection.execute(insert(models.StudyDirectionModel.__table__).values(values))
    return study_id


def count_trials(connection: Connection, study_id: int) -> int:
    """How many trials a study of Optuna's has, those of no ticket included."""
    table = models.TrialModel.__table__
    query = select(func.count()).select_from(table).where(table.c.study_id == study_id)
    return int(connection.execute(query).scalar_one())


def insert_trials(
    connection: Connection, study_id: int, trials: Sequence[FrozenTrial]
) -> list[int]:
    """Append ended trials, numbered on from those that are there; their ids."""
    table = models.TrialModel.__table__
    first = count_trials(connection, study_id)
    rows = []
    for number, trial in enumerate(trials, start=first):
        model = models.TrialModel()  # it turns local times into the UTC that the table holds
        model.datetime_start, model.datetime_complete = (
            trial.datetime_start,
            trial.datetime_complete,
        )
        rows.append(
            {
                "study_id": study_id,
                "number": number,
                "state": trial.state,
                "datetime_start": model._datetime_start_utc,
                "datetime_complete": model._datetime_complete_utc,
            }
        )
    _insert(connection, models.TrialModel, rows)
    query = select(table.c.trial_id).where(table.c.study_id == study_id, table.c.number >= first)
    ids = [int(i) for i in connection.execute(query.order_by(table.c.number)).scalars()]
    _insert_parts(connection, list(zip(ids, trials, strict=True)))
    return ids


def _insert_parts(connection: Connection, trials: Sequence[tuple[int, FrozenTrial]]) -> None:
    """Values, parameters, attributes and reports of trials that have their ids."""
    _insert(
        connection,
        models.TrialValueModel,
        [{"trial_id": i, "objective": 0, **_value(t.value)} for i, t in trials if t.values],
    )
    _insert(
        connection,
        models.TrialParamModel,
        [
            {
                "trial_id": i,
                "param_name": name,
                "param_value": distribution.to_internal_repr(t.params[name]),
                "distribution_json": distribution_to_json(distribution),
            }
            for i, t in trials
            for name, distribution in t.distributions.items()
        ],
    )
    _insert(
        connection,
        models.TrialIntermediateValueModel,
        [
            {"trial_id": i, "step": step, **_report(value)}
            for i, t in trials
            for step, value in t.intermediate_values.items()
        ],
    )
    for model, attribute in (
        (models.TrialUserAttributeModel, "user_attrs"),
        (models.TrialSystemAttributeModel, "system_attrs"),
    ):
        _insert(
            connection,
            model,
            [
                {"trial_id": i, "key": key, "value_json": json.dumps(value)}
                for i, t in trials
                for key, value in getattr(t, attribute).items()
            ],
        )


def _value(value: float | None) -> dict[str, Any]:
    assert value is not None
    number, kind = models.TrialValueModel.value_to_stored_repr(value)
    return {"value": number, "value_type": kind}


def _report(value: float) -> dict[str, Any]:
    number, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
    return {"intermediate_value": number, "intermediate_value_type": kind}


def _insert(connection: Connection, model: Any, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(model.__table__), rows)
