"""Optuna's tables: the one module that names its private parts.

We read and write their rows in transactions of ours; tests/study/test_optuna_rows.py says when a
new Optuna has changed them.
"""

from datetime import datetime
from typing import Any

from optuna.storages._rdb import models
from sqlalchemy import DateTime, Table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

studies: Table = models.StudyModel.__table__
directions: Table = models.StudyDirectionModel.__table__
trials: Table = models.TrialModel.__table__
values: Table = models.TrialValueModel.__table__
params: Table = models.TrialParamModel.__table__
reports: Table = models.TrialIntermediateValueModel.__table__
user_attributes: Table = models.TrialUserAttributeModel.__table__
system_attributes: Table = models.TrialSystemAttributeModel.__table__

#: Of every table.
NAMES: list[str] = list(models.BaseModel.metadata.tables)

#: All that have rows of trials or studies, those before which others refer to.
BELONGING: list[Table] = [
    table
    for table in reversed(models.BaseModel.metadata.sorted_tables)
    if {"trial_id", "study_id"} & set(table.c.keys())
]

#: Of a finite number in `values`.
FINITE = models.TrialValueModel.TrialValueType.FINITE


class utc_now(FunctionElement[datetime]):  # noqa: N801 - reads as SQL's now()
    """The time by the database's clock as these tables hold it: UTC without a time zone."""

    type = DateTime()
    inherit_cache = True


@compiles(utc_now, "sqlite")
def _sqlite_now(element: Any, compiler: Any, **kw: Any) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"


@compiles(utc_now, "postgresql")
def _postgresql_now(element: Any, compiler: Any, **kw: Any) -> str:
    return "timezone('utc', clock_timestamp())"


def value_columns(value: float) -> dict[str, Any]:
    """A number as `values` holds it."""
    number, kind = models.TrialValueModel.value_to_stored_repr(value)
    return {"value": number, "value_type": kind}


def report_columns(value: float) -> dict[str, Any]:
    """A number as `reports` holds it."""
    number, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
    return {"intermediate_value": number, "intermediate_value_type": kind}


def time_columns(start: datetime | None, complete: datetime | None) -> dict[str, Any]:
    """Local times as `trials` holds them."""
    model = models.TrialModel()
    model.datetime_start, model.datetime_complete = start, complete
    return {
        "datetime_start": model._datetime_start_utc,
        "datetime_complete": model._datetime_complete_utc,
    }
