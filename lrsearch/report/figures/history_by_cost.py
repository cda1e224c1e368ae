"""What did it take to get this good: the best so far against epochs trained, and against time."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import altair as alt

from lrsearch.report.colours import BLUE, GREEN, ORANGE
from lrsearch.report.figures import looks
from lrsearch.report.figures.clock import UNITS, unit_of
from lrsearch.report.figures.data.search_cost import End, SearchCost, search_cost
from lrsearch.report.figures.figure import Figure
from lrsearch.report.model import Report
from lrsearch.report.text.format import amount, counted, duration, length_unit, number
from lrsearch.spec.parts import Objective

if TYPE_CHECKING:
    from lrsearch.report.figures.figure import Chart

#: The axis of values ends at this quantile of the losses.
WORST = 0.9


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


def figure(report: Report) -> Figure | None:
    """None for fewer than two complete trials."""
    found = search_cost(report)
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


def _dots(found: SearchCost) -> str:
    complete, drawn = len(found.ends), len(looks.thinned(found.ends))
    shown = f"{drawn} of {complete} complete" if drawn < complete else f"the {complete} complete"
    return f"{shown} trials, of {counted(found.trials, 'ended one')},"


def _answer(found: SearchCost, unit: str, objective: Objective) -> str:
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


def _chart(found: SearchCost, unit: str, objective: Objective) -> "Chart":
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


def dots_of(found: SearchCost, axis: Axis) -> list[Dot]:
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


def levels_of(found: SearchCost, axis: Axis) -> list[Level]:
    """Up to the end of what was spent."""
    levels = [Level(at=axis.place(end), best=end.best) for end in found.steps]
    return [*levels, Level(at=axis.whole, best=found.ends[-1].best)]


def _panel(found: SearchCost, axis: Axis, objective: Objective) -> looks.Layers:
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


def _scale(found: SearchCost, objective: Objective) -> alt.Scale:
    losses = sorted(objective.loss(end.value) for end in found.ends)
    worst = losses[ceil(WORST * (len(losses) - 1))]
    if found.baseline is not None:
        worst = max(worst, objective.loss(found.baseline))
    return looks.values_between(losses[0], worst, objective)
