"""What does a better value cost? Values of complete trials against their training time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import altair as alt

from lrsearch.report.colours import GREEN
from lrsearch.report.figures import looks
from lrsearch.report.figures.figure import Figure
from lrsearch.report.model import Report
from lrsearch.report.text.format import duration, number
from lrsearch.spec.parts import Objective

if TYPE_CHECKING:
    from lrsearch.report.figures.figure import Chart

#: The axis of values ends at this quantile of the losses.
WORST = 0.9


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A complete trial."""

    trial: int
    optimizer: str
    schedule: str
    #: Of training and validation.
    seconds: float
    value: float
    #: Whether none is as quick and better, or as good and quicker.
    front: bool


def marks(report: Report) -> tuple[Mark, ...]:
    """The quickest first."""
    objective = report.spec.objective
    # Sorting keeps the order of equals: of those that took the same time, the best comes first.
    scored = sorted(
        (trial for trial in report.ranked if trial.seconds > 0),
        key=lambda trial: trial.seconds,
    )
    found: list[Mark] = []
    best: float | None = None
    for trial in scored:
        if trial.number is None or trial.parsed is None or trial.value is None:
            continue
        front = best is None or objective.better(trial.value, best)
        best = trial.value if front else best
        found.append(
            Mark(
                trial=trial.number,
                optimizer=trial.parsed.optimizer_name,
                schedule=trial.parsed.schedule_name,
                seconds=trial.seconds,
                value=trial.value,
                front=front,
            )
        )
    return tuple(found)


def figure(report: Report) -> Figure | None:
    """None for fewer than two complete trials."""
    found = marks(report)
    if len(found) < 2:
        return None
    answer = _answer(found)
    return Figure(
        name="pareto",
        title="What does a better value cost?",
        caption=" ".join([answer, *_explained(found, report)]),
        alt=f"{report.metric} against training time. {answer}",
        chart=_chart(found, report.spec.objective),
    )


def _answer(found: Sequence[Mark]) -> str:
    """What the best and the quickest took."""
    front = [mark for mark in found if mark.front]
    best, quickest = front[-1], front[0]
    said = (
        f"Trial {best.trial} reached the best value, {number(best.value)}, in "
        f"{duration(best.seconds)} of training"
    )
    if quickest is best:
        return f"{said}, and none was quicker."
    return (
        f"{said}; the quickest, trial {quickest.trial}, reached {number(quickest.value)} in "
        f"{duration(quickest.seconds)}."
    )


def _explained(found: Sequence[Mark], report: Report) -> Iterator[str]:
    drawn = len(_drawn(found))
    shown = f"{drawn} of {len(found)}" if drawn < len(found) else f"{drawn}"
    yield (
        f"Drawn are {shown} complete trials, on one seed; none is both quicker and better than one "
        "on the line."
    )
    loss, worst = report.spec.objective.loss, _worst(found, report.spec.objective)
    far = sum(loss(mark.value) > worst for mark in found)
    if far:
        edge = looks.worse_edge(report.spec.objective)
        are = f"Arrows at the {edge} edge are {far} trials"
        if far == 1:
            are = f"The arrow at the {edge} edge is a trial"
        yield f"{are} with a worse value than the axis reaches; pointing at one tells it."
    if any(engine.size > 1 for engine in report.engines):
        yield "Trials that trained in one program have a share of its time each."


def _drawn(found: Sequence[Mark]) -> list[Mark]:
    """Of thousands some, evenly spread, with all that are on the line."""
    others = looks.thinned([mark for mark in found if not mark.front])
    return [*others, *(mark for mark in found if mark.front)]


def _chart(found: Sequence[Mark], objective: Objective) -> "Chart":
    best = min(objective.loss(mark.value) for mark in found)
    scale = looks.values_between(best, _worst(found, objective), objective)
    at = alt.X(
        "seconds",
        type="quantitative",
        title="training time (s)",
        scale=alt.Scale(zero=False, padding=8),
        axis=alt.Axis(tickCount=6, labelOverlap="greedy", format="~r"),
    )
    value = alt.Y("value", type="quantitative", scale=scale, title=looks.value_title(objective))
    names = _names(mark.optimizer for mark in found)
    tips = looks.tips("trial:Q", "value:Q", "seconds:Q", "optimizer:N", "schedule:N")
    reach = _worst(found, objective)
    inside = [mark for mark in _drawn(found) if objective.loss(mark.value) <= reach]
    beyond = [mark for mark in _drawn(found) if objective.loss(mark.value) > reach]
    dots = (
        alt.Chart(looks.data(inside))
        .mark_point(size=looks.mark_size(len(found), 45), strokeWidth=1.5)
        .encode(
            at, value, looks.optimizer_colour(names), looks.optimizer_shape(names), tooltip=tips
        )
    )
    line = (
        alt.Chart(looks.data([mark for mark in found if mark.front]))
        .mark_line(interpolate="step-after", color=GREEN, strokeWidth=2)
        .encode(at, value, tooltip=tips)
    )
    colours, arrow = looks.optimizer_colours(names), looks.worse_arrow(objective)
    arrows = [
        alt.Chart(looks.data([mark for mark in beyond if mark.optimizer == name]))
        .mark_point(shape=arrow, size=80, filled=True, opacity=1, color=colours[name])
        .encode(at, value, tooltip=tips)
        for name in dict.fromkeys(mark.optimizer for mark in beyond)
    ]
    joined: Chart = alt.layer(line, dots, *arrows)
    return joined


def _worst(found: Sequence[Mark], objective: Objective) -> float:
    """The loss at which the axis ends."""
    losses = sorted(objective.loss(mark.value) for mark in found)
    return losses[ceil(WORST * (len(losses) - 1))]


def _names(optimizers: Iterable[str]) -> list[str]:
    return sorted(set(optimizers))
