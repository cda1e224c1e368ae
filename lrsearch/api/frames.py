"""Trials and curves as pandas tables, where pandas is installed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from lrsearch.api.records import CurvePoint, TrialResult
from lrsearch.errors import LrsearchError
from lrsearch.plain_data import Document, Fields

if TYPE_CHECKING:
    import pandas

#: Fields of a recipe that are mappings, whose own fields become columns.
PARTS = ("optimizer", "schedule", "params")


def trials_frame(trials: Sequence[TrialResult]) -> "pandas.DataFrame":
    """A row for each trial. Raises LrsearchError where pandas is not installed."""
    own = [field.name for field in fields(TrialResult) if field.name not in ("recipe", "metrics")]
    rows = []
    for trial in trials:
        row = {name: getattr(trial, name) for name in own}
        recipe = {} if trial.recipe is None else recipe_columns(trial.recipe.to_dict())
        rows.append(row | recipe | _dotted("metrics", trial.metrics))
    return _frame(rows, own, "trials_frame")


def curves_frame(points: Sequence[CurvePoint]) -> "pandas.DataFrame":
    """A row for each validation. Raises LrsearchError where pandas is not installed."""
    own = [field.name for field in fields(CurvePoint) if field.name != "metrics"]
    rows = [
        {name: getattr(point, name) for name in own} | _dotted("metrics", point.metrics)
        for point in points
    ]
    return _frame(rows, own, "curves_frame")


def recipe_columns(recipe: Fields) -> Document:
    """`optimizer.lr`, `schedule.name`, `params.width`, `warmup`: what differs between trials."""
    columns: Document = {}
    for part in PARTS:
        columns |= _dotted(part, recipe.get(part) or {})
    steps = {key: recipe[key] for key in ("warmup_steps",) if key in recipe}
    own = {"warmup": recipe.get("warmup"), "batch_size": recipe.get("batch_size")}
    return columns | own | steps


def _dotted(part: str, values: Fields) -> Document:
    return {f"{part}.{name}": value for name, value in values.items()}


def _frame(
    rows: Iterable[Mapping[str, float | str | None]], own: Sequence[str], where: str
) -> "pandas.DataFrame":
    """A table with the columns `own` first, also where there is no row."""
    try:
        import pandas
    except ImportError as error:
        raise LrsearchError(
            f"{where}(): pandas is not installed; install it (pip install pandas), or use "
            f"{where.removesuffix('_frame')}"
        ) from error
    rows = list(rows)
    others = dict.fromkeys(name for row in rows for name in row if name not in own)
    columns = [*own, *sorted(others, key=_part)]
    return pandas.DataFrame(rows, columns=columns)


def _part(column: str) -> int:
    """Columns of one part stand together, in the order of the parts; then what is in none."""
    part = column.partition(".")[0]
    return PARTS.index(part) if part in PARTS else len(PARTS)
