"""Optuna's tables, which `private` reads and writes in transactions of ours."""

from collections.abc import Mapping
from datetime import UTC, datetime

from optuna.storages._rdb import models
from sqlalchemy import DateTime, Table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

studies: Table = models.StudyModel.__table__
directions: Table = models.StudyDirectionModel.__table__
trials: Table = models.TrialModel.__table__
values: Table = models.TrialValueModel.__table__
params: Table = models.TrialParamModel.__table__
reports: Table = models.TrialIntermediateValueModel.__table__
user_attributes: Table = models.TrialUserAttributeModel.__table__
system_attributes: Table = models.TrialSystemAttributeModel.__table__

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
def _sqlite_now(element: utc_now, compiler: SQLCompiler, **kw: object) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"


@compiles(utc_now, "postgresql")
def _postgresql_now(element: utc_now, compiler: SQLCompiler, **kw: object) -> str:
    return "timezone('utc', clock_timestamp())"


def value_columns(value: float) -> Mapping[str, object]:
    """A number as `values` holds it."""
    number, kind = models.TrialValueModel.value_to_stored_repr(value)
    return {"value": number, "value_type": kind}


def report_columns(value: float) -> Mapping[str, object]:
    """A number as `reports` holds it."""
    number, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
    return {"intermediate_value": number, "intermediate_value_type": kind}


def time_columns(start: datetime | None, complete: datetime | None) -> Mapping[str, object]:
    """Local times as `trials` holds them."""
    model = models.TrialModel()
    model.datetime_start, model.datetime_complete = start, complete
    return {
        "datetime_start": model._datetime_start_utc,
        "datetime_complete": model._datetime_complete_utc,
    }


#: The columns of each table that holds studies and trials.
KNOWN: Mapping[Table, str] = {
    studies: "study_id study_name",
    directions: "study_direction_id study_id direction objective",
    trials: "trial_id number study_id state datetime_start datetime_complete",
    values: "trial_value_id trial_id objective value value_type",
    params: "param_id trial_id param_name param_value distribution_json",
    reports: (
        "trial_intermediate_value_id trial_id step intermediate_value intermediate_value_type"
    ),
    user_attributes: "trial_user_attribute_id trial_id key value_json",
    system_attributes: "trial_system_attribute_id trial_id key value_json",
}


def are_known() -> bool:
    """Whether the tables have the known columns, and hold a number and a time as is known."""
    if any(set(table.c.keys()) != set(known.split()) for table, known in KNOWN.items()):
        return False
    noon = datetime(2026, 1, 2, 12)
    times, value, report = time_columns(noon, None), value_columns(0.5), report_columns(0.5)
    start = times["datetime_start"]
    return (
        list(value.values()) == [0.5, FINITE]
        and next(iter(report.values())) == 0.5
        and isinstance(start, datetime)
        and start == noon.astimezone(UTC).replace(tzinfo=None)
        and times["datetime_complete"] is None
    )
