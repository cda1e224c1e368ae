"""What did it take to get this good: the best so far against epochs trained, and against time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

import altair as alt

from lrsearch.report.colours import BLUE, GREEN, ORANGE
from lrsearch.report.figures import looks
from lrsearch.report.figures.clock import UNITS, unit_of
from lrsearch.report.figures.figure import Figure
from lrsearch.report.model import Report
from lrsearch.report.rows import Trial
from lrsearch.report.text.format import amount, counted, duration, length_unit, number
from lrsearch.spec.parts import Objective

if TYPE_CHECKING:
    from lrsearch.report.figures.figure import Chart

#: The axis of values ends at this quantile of the losses.
WORST = 0.9


@dataclass(frozen=True, kw_only=True)
class End:
    """A complete trial at its end."""

    trial: int
    optimizer: str
    schedule: str
    value: float
    #: Of this trial and of those that ended before it.
    best: float
    #: Epochs, or what else the study counts in, of all trials that had ended by then.
    trained: float
    #: Seconds since the first trial began.
    after: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the search has spent, and what it had for it at each end of a complete trial."""

    ends: tuple[End, ...]
    #: Ended trials, whatever became of them.
    trials: int
    trained: float
    seconds: float
    baseline: float | None

    @property
    def steps(self) -> tuple[End, ...]:
        """Those that were better than all before."""
        found = [self.ends[0]] if self.ends else []
        for before, end in pairwise(self.ends):
            if end.best != before.best:
                found.append(end)
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A complete trial on one of the two axes."""

    trial: int
    optimizer: str
    schedule: str
    value: float
    at: float


@dataclass(frozen=True, kw_only=True)
class Level:
    """The best so far on one of the two axes, from here on."""

    at: float
    best: float


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What the search spent of one thing."""

    title: str
    place: Callable[[End], float]
    whole: float


def cost(report: Report) -> Cost:
    """In the order in which trials ended."""
    ended = sorted(
        (trial for trial in report.trials if trial.ended_at is not None),
        key=lambda trial: (trial.ended_at or 0.0, trial.ticket),
    )
    start = min((trial.started_at for trial in report.trials), default=0.0)
    base = report.baseline
    return Cost(
        ends=tuple(_ends(ended, start, report.spec.objective)),
        trials=len(ended),
        trained=sum(trial.epochs for trial in ended),
        seconds=(ended[-1].ended_at or start) - start if ended else 0.0,
        baseline=base.value if base is not None and base.is_scored else None,
    )


def _ends(ended: Sequence[Trial], start: float, objective: Objective) -> Iterator[End]:
    trained, best = 0.0, None
    for trial in ended:
        trained += trial.epochs
        if not trial.is_scored or trial.value is None or trial.number is None or not trial.parsed:
            continue
        best = trial.value if best is None or objective.better(trial.value, best) else best
        yield End(
            trial=trial.number,
            optimizer=trial.parsed.optimizer_name,
            schedule=trial.parsed.schedule_name,
            value=trial.value,
            best=best,
            trained=trained,
            after=(trial.ended_at or start) - start,
        )


def figure(report: Report) -> Figure | None:
    """None for fewer than two complete trials."""
    found = cost(report)
    if len(found.ends) < 2:
        return None
    unit = length_unit(report.spec)
    last = found.ends[-1].best
    answer = _answer(found, unit, report.spec.objective)
    return Figure(
        name="history_by_cost",
        title="What did it take to get this good?",
        caption=f"{answer} The line is the best so far, dots are {_dots(found)} where they ended. "
        "The axes count all trials of the search; one that was stopped early adds what it trained "
        f"and has no dot. {'The dashed line is your baseline. ' if found.baseline else ''}"
        "Time is the clock's, all workers side by side, pauses included. A dot at the worse edge "
        "lies beyond it. All values are of one seed.",
        alt=f"Best {report.metric} so far against {unit} trained and against time, "
        f"{number(last)} at the end. {answer}",
        chart=_chart(found, unit, report.spec.objective),
    )


def _dots(found: Cost) -> str:
    complete, drawn = len(found.ends), len(looks.thinned(found.ends))
    shown = f"{drawn} of {complete} complete" if drawn < complete else f"the {complete} complete"
    return f"{shown} trials, of {counted(found.trials, 'ended one')},"


def _answer(found: Cost, unit: str, objective: Objective) -> str:
    """When the best value was there, and when the baseline was passed."""
    reached = next(end for end in found.ends if end.best == found.ends[-1].best)
    said = (
        f"The best value, {number(reached.best)}, was there after {amount(reached.trained)} of "
        f"{amount(found.trained)} {unit} and {duration(reached.after)} of "
        f"{duration(found.seconds)} of search (trial {reached.trial})."
    )
    if found.baseline is None:
        return said
    passed = (end for end in found.ends if objective.better(end.value, found.baseline))
    first = next(passed, None)
    if first is None:
        return f"{said} No trial was better than your baseline, {number(found.baseline)}."
    return (
        f"{said} Your baseline, {number(found.baseline)}, was passed after "
        f"{amount(first.trained)} {unit} and {duration(first.after)} (trial {first.trial})."
    )


def _chart(found: Cost, unit: str, objective: Objective) -> "Chart":
    time = unit_of(found.seconds)
    one = UNITS[time]
    axes = [
        Axis(title=f"{unit} trained", place=lambda end: end.trained, whole=found.trained),
        Axis(
            title=f"{time} since the first trial began",
            place=lambda end: end.after / one,
            whole=found.seconds / one,
        ),
    ]
    panels = [_panel(found, axis, objective) for axis in axes]
    joined: Chart = alt.concat(*panels, columns=2).resolve_scale(y="shared")
    return joined


def dots_of(found: Cost, axis: Axis) -> list[Dot]:
    return [
        Dot(
            trial=end.trial,
            optimizer=end.optimizer,
            schedule=end.schedule,
            value=end.value,
            at=axis.place(end),
        )
        for end in looks.thinned(found.ends)
    ]


def levels_of(found: Cost, axis: Axis) -> list[Level]:
    """Up to the end of what was spent."""
    levels = [Level(at=axis.place(end), best=end.best) for end in found.steps]
    return [*levels, Level(at=axis.whole, best=found.ends[-1].best)]


def _panel(found: Cost, axis: Axis, objective: Objective) -> looks.Layers:
    title, scale = looks.value_title(objective), _scale(found, objective)
    y = alt.Y("value", type="quantitative", title=title, scale=scale)
    ends = alt.Scale(domain=[0, axis.whole or 1.0], nice=False, padding=6)
    x = alt.X("at", type="quantitative", title=axis.title, scale=ends, axis=alt.Axis(grid=False))
    tips = looks.tips("trial:Q", "value:Q", "at:Q", "optimizer:N", "schedule:N")
    dots = alt.Chart(looks.data(dots_of(found, axis))).mark_point(
        filled=True, size=30, opacity=0.6, color=BLUE
    )
    line = alt.Chart(looks.data(levels_of(found, axis))).mark_line(
        interpolate="step-after", color=GREEN, strokeWidth=2
    )
    layers = [
        dots.encode(x, y, tooltip=tips),
        line.encode(x, alt.Y("best", type="quantitative"), tooltip=looks.tips("at:Q", "best:Q")),
    ]
    if found.baseline is not None:
        rule = alt.Chart(looks.data([Level(at=0.0, best=found.baseline)]))
        rule = rule.mark_rule(color=ORANGE, strokeDash=[6, 4], strokeWidth=1.5)
        layers.append(rule.encode(alt.Y("best", type="quantitative")))
    return alt.layer(*layers).properties(width=looks.PANEL_WIDTH, height=looks.PANEL_HEIGHT)


def _scale(found: Cost, objective: Objective) -> alt.Scale:
    losses = sorted(objective.loss(end.value) for end in found.ends)
    worst = losses[ceil(WORST * (len(losses) - 1))]
    if found.baseline is not None:
        worst = max(worst, objective.loss(found.baseline))
    return looks.values_between(losses[0], worst, objective)
