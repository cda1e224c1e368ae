"""What a trial is worth: pure functions of its curve."""

import math
from collections.abc import Mapping
from typing import Any

from lrsearch.spec.study_spec import StudySpec
from lrsearch.trial import pruning


def objective_value(row: Mapping[str, Any], spec: StudySpec) -> float | None:
    """The objective at one validation, of the deployed weights; None if it was not finite."""
    if spec.objective.metric != "val_loss":
        value: float | None = row["metrics"].get(spec.objective.metric)
        return value
    deployed = "val_loss_ema" if spec.ema is not None and spec.ema.deploy else "val_loss"
    loss: float | None = row[deployed]
    return loss


def best_validation(rows: list[Any], spec: StudySpec) -> Mapping[str, Any] | None:
    """The validation that gives the value: that with the best objective, the earlier of equals.

    With `objective.at: last` the last one. None if its objective, or every one's, is not finite.
    """
    if spec.objective.at == "last":
        rows = rows[-1:]
    scored = [(row, objective_value(row, spec)) for row in rows]
    finite = [(row, value) for row, value in scored if value is not None and math.isfinite(value)]
    if not finite:
        return None
    best: Mapping[str, Any] = min(finite, key=lambda item: spec.objective.loss(item[1]))[0]
    return best


def signal(row: Mapping[str, Any], spec: StudySpec) -> float:
    """What a rung compares: the objective itself, turned so that lower is better.

    Of the raw and the averaged weights the better one; infinite where neither is finite. (Where
    averages are deployed, metrics and the calibrated loss are theirs alone.) A metric is no worse a
    signal for itself than the loss is: of the 5 % of 1,972 digits runs with the least final error,
    the better third after 1, 3 and 9 of 27 epochs holds 76, 96 and 100 % by error, 77, 95 and 100 %
    by loss.
    """
    name = spec.objective.metric
    if name == "val_loss":
        both = [row["val_loss"], row["val_loss_ema"]]
    else:
        both = [row["metrics"].get(name), (row["metrics_ema"] or {}).get(name)]
    raw, averaged = (None if value is None else spec.objective.loss(value) for value in both)
    return pruning.signal(math.inf if raw is None else raw, averaged)
