"""What did it take to get this good: the best so far against epochs trained, and against time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import altair as alt

from lrsearch.report.colours import BLUE, GREEN, ORANGE
from lrsearch.report.figures import looks
from lrsearch.report.figures.clock import UNITS, unit_of
from lrsearch.report.figures.data.search_cost import SearchCost, Step, search_cost
from lrsearch.report.figures.figure import Figure
from lrsearch.report.figures.history import history
from lrsearch.report.model import Report
from lrsearch.report.text.format import amount, counted, duration, length_unit, number
from lrsearch.spec.parts import Objective
from lrsearch.trial.states import TrialState

if TYPE_CHECKING:
    from lrsearch.report.figures.figure import Chart


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A trial that was better than all before, on one of the two axes."""

    trial: int
    optimizer: str
    schedule: str
    value: float
    at: float


@dataclass(frozen=True, kw_only=True)
class Level:
    """The best so far on one of the two axes, from here on."""

    at: float
    value: float


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What the search spent of one thing."""

    title: str
    place: Callable[[Step], float]
    whole: float


def figure(report: Report) -> Figure | None:
    """None for fewer than two complete trials."""
    found = search_cost(report)
    if found.complete < 2:
        return None
    unit = length_unit(report.spec)
    answer = _answer(found, unit, report.spec.objective)
    return Figure(
        name="history_by_cost",
        title="What did it take to get this good?",
        caption=" ".join([answer, *_explained(found, report)]),
        alt=f"Best {report.metric} so far against {unit} trained and against time. {answer}",
        chart=_chart(found, unit, report.spec.objective),
    )


def _answer(found: SearchCost, unit: str, objective: Objective) -> str:
    """When the best value was there, and when the baseline was passed."""
    last = found.steps[-1]
    said = (
        f"The best value, {number(last.value)}, was there after {amount(last.trained)} of "
        f"{amount(found.trained)} {unit} and {duration(last.after)} of {duration(found.seconds)} "
        f"of search (trial {last.trial})."
    )
    if found.baseline is None:
        return said
    passed = (step for step in found.steps if objective.better(step.value, found.baseline))
    first = next(passed, None)
    if first is None:
        return f"{said} No trial was better than your baseline, {number(found.baseline)}."
    return (
        f"{said} Your baseline, {number(found.baseline)}, was passed after "
        f"{amount(first.trained)} {unit} and {duration(first.after)} (trial {first.trial})."
    )


def _explained(found: SearchCost, report: Report) -> Iterator[str]:
    of = counted(found.complete, "complete trial")
    if found.complete < found.trials:
        of = f"{found.complete} complete among {found.trials} ended trials"
    yield (
        f"Dots are the complete trials that were better than all that ended before them, of {of}; "
        "the line is the best so far."
    )
    by_start = [step.at for step in history(report).best[:-1]]
    if by_start != [step.trial for step in found.steps]:
        yield (
            "Here trials count from their ends; where they stand in the order of their starts, "
            "the line has other steps and the same end."
        )
    if found.baseline is not None:
        yield "The dashed line is your baseline."
    if any(trial.state == TrialState.PRUNED for trial in report.trials):
        yield "What pruned trials trained is counted too."
    yield (
        "Time is the clock's, all workers side by side, pauses included. All values are of one "
        "seed."
    )


def axes_of(found: SearchCost, unit: str) -> tuple[Axis, Axis]:
    """What was trained, and the time that it took."""
    time = unit_of(found.seconds)
    one = UNITS[time]
    return (
        Axis(title=f"{unit} trained", place=lambda step: step.trained, whole=found.trained),
        Axis(
            title=f"{time} since the first trial began",
            place=lambda step: step.after / one,
            whole=found.seconds / one,
        ),
    )


def dots_of(found: SearchCost, axis: Axis) -> list[Dot]:
    return [
        Dot(
            trial=step.trial,
            optimizer=step.optimizer,
            schedule=step.schedule,
            value=step.value,
            at=axis.place(step),
        )
        for step in found.steps
    ]


def levels_of(found: SearchCost, axis: Axis) -> list[Level]:
    """Up to the end of what was spent."""
    levels = [Level(at=axis.place(step), value=step.value) for step in found.steps]
    return [*levels, Level(at=axis.whole, value=found.steps[-1].value)]


def _chart(found: SearchCost, unit: str, objective: Objective) -> "Chart":
    panels = [_panel(found, axis, objective) for axis in axes_of(found, unit)]
    joined: Chart = alt.concat(*panels, columns=len(panels)).resolve_scale(y="shared")
    return joined


def _panel(found: SearchCost, axis: Axis, objective: Objective) -> looks.Layers:
    title, scale = looks.value_title(objective), _scale(found, objective)
    y = alt.Y("value", type="quantitative", title=title, scale=scale)
    x = alt.X(
        "at",
        type="quantitative",
        title=axis.title,
        scale=alt.Scale(domain=[0, axis.whole or 1.0], nice=False, padding=6),
        axis=alt.Axis(grid=False, tickCount=5, labelOverlap="greedy"),
    )
    dots = alt.Chart(looks.data(dots_of(found, axis))).mark_point(
        filled=True, size=45, opacity=1, color=BLUE
    )
    line = alt.Chart(looks.data(levels_of(found, axis))).mark_line(
        interpolate="step-after", color=GREEN, strokeWidth=2
    )
    tips = looks.tips("trial:Q", "value:Q", "at:Q", "optimizer:N", "schedule:N")
    layers = [line.encode(x, y), dots.encode(x, y, tooltip=tips)]
    if found.baseline is not None:
        rule = alt.Chart(looks.data([Level(at=0.0, value=found.baseline)]))
        rule = rule.mark_rule(color=ORANGE, strokeDash=[6, 4], strokeWidth=1.5)
        layers.append(rule.encode(y, tooltip=looks.tips("value:Q")))
    return alt.layer(*layers).properties(width=looks.PANEL_WIDTH, height=looks.PANEL_HEIGHT)


def _scale(found: SearchCost, objective: Objective) -> alt.Scale:
    """From the best to the first, or to the baseline."""
    losses = [objective.loss(step.value) for step in found.steps]
    if found.baseline is not None:
        losses.append(objective.loss(found.baseline))
    return looks.values_between(min(losses), max(losses), objective)
