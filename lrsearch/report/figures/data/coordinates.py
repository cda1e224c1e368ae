"""Recipes as places on axes, one for each searched number and one for the value: nothing drawn."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lrsearch.report.figures.data.searched_fields import LOG_FACTOR, Scale, searched_fields
from lrsearch.report.model import Report
from lrsearch.report.rows import Trial
from lrsearch.trial.states import TrialState

#: The best trials are this share of the ended ones.
BEST_SHARE = 0.1
#: Of fewer the best are one trial, which has nothing in common with another.
LEAST_TRIALS = 20
#: Lines that are drawn at most, so many of them of the best trials.
MOST_LINES, MOST_BEST = 200, 60
#: Axes that are drawn at most beside the value's: those that the most trials have.
MOST_AXES = 6
#: So many different values are told one by one.
MOST_CHOICES = 6
#: The axis of values ends at this quantile of the losses.
WORST = 0.9


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis from place 0 to place 1."""

    name: str
    scale: Scale
    #: The values at place 0 and 1, in torch's units.
    start: float
    end: float
    #: What trials have of it where that is few values, rising; else empty.
    choices: tuple[float, ...] = ()

    def place(self, value: float | None) -> float | None:
        """Between 0 and 1, also of values beyond the ends; None of what is not on the axis."""
        if value is None or not has(self.scale, value):
            return None
        start, end = self._along(self.start), self._along(self.end)
        return min(1.0, max(0.0, (self._along(value) - start) / (end - start)))

    def _along(self, value: float) -> float:
        if self.scale == "linear":
            return value
        return math.log(value) if self.scale == "log" else -math.log(1 - value)


def has(scale: Scale, value: float) -> bool:
    """Whether it is on an axis of this kind: 0 is not on a log axis."""
    if scale == "log":
        return value > 0
    return scale == "linear" or value < 1


@dataclass(frozen=True, kw_only=True)
class Line:
    """An ended trial."""

    trial: int
    optimizer: str
    schedule: str
    state: str
    #: Of a complete trial only: what was stopped has no result.
    value: float | None
    is_best: bool
    is_recommended: bool
    #: On each axis, the value's last; None where the trial does not have the field.
    values: tuple[float | None, ...]
    places: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Coordinates:
    """Lines of trials over axes."""

    #: The value's last; its better end is at place 1.
    axes: tuple[Axis, ...]
    #: The best last, so that they lie on top.
    lines: tuple[Line, ...]
    #: Ended trials, and the best of them.
    trials: int
    best: int
    #: How many of the best each optimizer has, the most first.
    optimizers: tuple[tuple[str, int], ...]
    #: Searched fields without an axis: others are had by more of the trials.
    left_out: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A field's axis, and each drawn trial's value."""

    axis: Axis
    values: tuple[float | None, ...]

    @property
    def count(self) -> int:
        return sum(value is not None for value in self.values)


def coordinates(report: Report) -> Coordinates | None:
    """None for fewer than LEAST_TRIALS, and where fewer than two numbers were searched."""
    ended = [trial for trial in report.trials if _has_ended_well(trial)]
    count = min(len(report.ranked), math.ceil(BEST_SHARE * len(ended)))
    if len(ended) < LEAST_TRIALS or not count:
        return None
    drawn = _drawn(report, ended, count)
    columns = _columns(report, drawn)
    if len(columns) < 2:  # the figure of learning rates shows that
        return None
    # Sorting keeps the order of those that equally many trials have.
    common = sorted(columns, key=lambda column: -column.count)[:MOST_AXES]
    shown = [column for column in columns if column in common]
    shown.append(_value_column(report, drawn))
    best = {trial.id for trial in report.ranked[:count]}
    lines = [_line(report, trial, trial.id in best, shown, i) for i, trial in enumerate(drawn)]
    return Coordinates(
        axes=tuple(column.axis for column in shown),
        lines=tuple(sorted(lines, key=lambda line: (line.is_recommended, line.is_best))),
        trials=len(ended),
        best=count,
        optimizers=_optimizers(report.ranked[:count]),
        left_out=tuple(column.axis.name for column in columns if column not in common),
    )


def _optimizers(best: Sequence[Trial]) -> tuple[tuple[str, int], ...]:
    names = (trial.parsed.optimizer_name for trial in best if trial.parsed is not None)
    return tuple(Counter(names).most_common())


def _has_ended_well(trial: Trial) -> bool:
    """Whether it ended by what its recipe is: failed trials tell nothing of it."""
    known = bool(trial.recipe) and trial.number is not None
    return known and trial.has_ended and trial.state != TrialState.FAILED


def _drawn(report: Report, ended: Sequence[Trial], best: int) -> list[Trial]:
    """At most MOST_LINES: the best, evenly spread, with the very best, and of the others so too."""
    tops = _evenly(report.ranked[:best], MOST_BEST)
    named = [trial for trial in ended if trial.number == report.recommended_trial]
    kept = {trial.id for trial in (*tops, *named)}
    ids = {trial.id for trial in report.ranked[:best]}
    others = [trial for trial in ended if trial.id not in ids | kept]
    kept |= {trial.id for trial in _evenly(others, MOST_LINES - len(kept))}
    return [trial for trial in ended if trial.id in kept]


def _evenly(trials: Sequence[Trial], most: int) -> Sequence[Trial]:
    if len(trials) <= most:
        return trials
    return [trials[i * len(trials) // most] for i in range(most)]


def _columns(report: Report, drawn: Sequence[Trial]) -> list[_Column]:
    """Of the searched fields that have more than one value among these trials."""
    columns = []
    fields = searched_fields(report.spec.space)
    names = [field.key for field in fields]
    for field in fields:
        values = tuple(None if t.parsed is None else field.of(t.parsed) for t in drawn)
        there = sorted({v for v in values if v is not None and has(field.scale, v)})
        if len(there) < 2:
            continue
        name = field.key if names.count(field.key) == 1 else f"{field.part} {field.key}"
        few = tuple(there) if len(there) <= MOST_CHOICES else ()
        axis = Axis(name=name, scale=field.scale, start=there[0], end=there[-1], choices=few)
        columns.append(_Column(axis=axis, values=values))
    return columns


def _value_column(report: Report, drawn: Sequence[Trial]) -> _Column:
    """From the WORST quantile of all complete trials to the best."""
    loss = report.spec.objective.loss
    losses = [loss(trial.value) for trial in report.ranked if trial.value is not None]
    best, worst = losses[0], losses[math.ceil(WORST * (len(losses) - 1))]
    if worst == best:
        worst = best + (abs(best) or 1.0)
    wide = best > 0 and worst >= LOG_FACTOR * best
    scale: Scale = "log" if wide else "linear"
    axis = Axis(name=report.metric, scale=scale, start=loss(worst), end=loss(best))
    return _Column(axis=axis, values=tuple(t.value if t.is_scored else None for t in drawn))


def _line(report: Report, trial: Trial, best: bool, columns: Sequence[_Column], i: int) -> Line:
    recipe = trial.parsed
    assert recipe is not None  # drawn trials have one, and a number
    assert trial.number is not None
    values = tuple(column.values[i] for column in columns)
    return Line(
        trial=trial.number,
        optimizer=recipe.optimizer_name,
        schedule=recipe.schedule_name,
        state=trial.state,
        value=values[-1],
        is_best=best,
        is_recommended=trial.number == report.recommended_trial,
        values=values,
        places=tuple(
            column.axis.place(value) for column, value in zip(columns, values, strict=True)
        ),
    )
