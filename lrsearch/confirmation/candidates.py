"""Which trials are worth confirming: pure functions of their curves.

A trial's own value is the best of its validations, and so partly luck; a mean of neighbouring
validations is less so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean

from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.trial_value import objective_value
from lrsearch.trial.curve import Validation

#: Validations that are averaged.
SMOOTHED_OVER = 3


def smoothed_score(rows: Sequence[Validation], spec: StudySpec) -> float | None:
    """The objective, smoothed over neighbouring validations; None if none is finite.

    It is the best moving mean of three, or the mean of the last three where the objective is that
    of the last validation. A shorter curve is averaged as a whole.
    """
    values = [objective_value(row, spec) for row in rows]
    finite = [value for value in values if value is not None and isfinite(value)]
    if not finite:
        return None
    starts = range(max(1, len(finite) - SMOOTHED_OVER + 1))
    means = [fmean(finite[start : start + SMOOTHED_OVER]) for start in starts]
    if spec.objective.at == "last":
        return means[-1]
    return min(means, key=spec.objective.loss)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An ended trial."""

    number: int
    #: Its own; it stands for the score where no validation was recorded.
    value: float
    rows: Sequence[Validation]


def ranked(trials: Sequence[Candidate], spec: StudySpec) -> list[int]:
    """The trials' numbers by their smoothed scores, the best first; of equals the first given."""

    def loss(trial: Candidate) -> float:
        score = smoothed_score(trial.rows, spec)
        return spec.objective.loss(trial.value if score is None else score)

    return [trial.number for trial in sorted(trials, key=loss)]
