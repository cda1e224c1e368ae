"""What a trial is worth: pure functions of its curve."""

import math
from collections.abc import Mapping
from typing import Any

from lrsearch.spec import StudySpec


def objective_value(row: Mapping[str, Any], spec: StudySpec) -> float | None:
    """The objective at one validation, of the deployed weights; None if it was not finite."""
    if spec.objective.metric != "val_loss":
        value: float | None = row["metrics"].get(spec.objective.metric)
        return value
    deployed = "val_loss_ema" if spec.ema is not None and spec.ema.deploy else "val_loss"
    loss: float | None = row[deployed]
    return loss


def best_validation(rows: list[Any], spec: StudySpec) -> Mapping[str, Any] | None:
    """The validation with the best objective, the earlier of equals; None if none has one."""
    scored = [(row, objective_value(row, spec)) for row in rows]
    finite = [(row, value) for row, value in scored if value is not None and math.isfinite(value)]
    if not finite:
        return None
    best: Mapping[str, Any] = min(finite, key=lambda item: spec.objective.loss(item[1]))[0]
    return best
