"""What a trial is worth: pure functions of its curve."""

import math
from collections.abc import Sequence
from typing import TypeVar

from lrsearch.spec.study_spec import StudySpec
from lrsearch.trial import pruning
from lrsearch.trial.curve import Measurement, Validation

V = TypeVar("V", bound=Validation)


def objective_value(row: Measurement, spec: StudySpec) -> float | None:
    """The objective at one validation, of the deployed weights; None if it was not finite."""
    if spec.objective.metric != "val_loss":
        return row.metrics.get(spec.objective.metric)
    return row.val_loss_ema if spec.ema is not None and spec.ema.deploy else row.val_loss


def best_validation(rows: Sequence[V], spec: StudySpec) -> V | None:
    """The validation that gives the value: that with the best objective, the earlier of equals.

    With `objective.at: last` the last one. None if its objective, or every one's, is not finite.
    """
    if spec.objective.at == "last":
        rows = rows[-1:]
    scored = [(row, objective_value(row, spec)) for row in rows]
    finite = [(row, value) for row, value in scored if value is not None and math.isfinite(value)]
    if not finite:
        return None
    return min(finite, key=lambda item: spec.objective.loss(item[1]))[0]


def signal(row: Measurement, spec: StudySpec) -> float:
    """What a rung compares: the objective itself, turned so that lower is better.

    Of the raw and the averaged weights the better one; infinite where neither is finite. (Where
    averages are deployed, metrics and the calibrated loss are theirs alone.) A metric is no worse a
    signal for itself than the loss is: of the 5 % of 1,972 digits runs with the least final error,
    the better third after 1, 3 and 9 of 27 epochs holds 76, 96 and 100 % by error, 77, 95 and 100 %
    by loss.
    """
    name = spec.objective.metric
    if name == "val_loss":
        both = [row.val_loss, row.val_loss_ema]
    else:
        both = [row.metrics.get(name), (row.metrics_ema or {}).get(name)]
    raw, averaged = (None if value is None else spec.objective.loss(value) for value in both)
    return pruning.signal(math.inf if raw is None else raw, averaged)
