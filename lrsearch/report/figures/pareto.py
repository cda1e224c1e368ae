"""What does a better value cost? Values of complete trials against their training time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import altair as alt

from lrsearch.report.colours import GREEN
from lrsearch.report.figures import looks
from lrsearch.report.figures.figure import Figure
from lrsearch.report.model import Report
from lrsearch.report.text.format import counted, duration, number
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
    #: Whether none is as quick and better.
    front: bool


def marks(report: Report) -> tuple[Mark, ...]:
    """The quickest first."""
    objective = report.spec.objective
    scored = sorted(
        (trial for trial in report.ranked if trial.seconds > 0 and trial.value is not None),
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
    front = [mark for mark in found if mark.front]
    best, quickest = front[-1], front[0]
    answer = (
        f"The best value, {number(best.value)}, took trial {best.trial} {duration(best.seconds)}"
    )
    if quickest is not best:
        answer += (
            f"; the quickest, trial {quickest.trial}, has {number(quickest.value)} after "
            f"{duration(quickest.seconds)}"
        )
    shared = any(engine.size > 1 for engine in report.engines)
    share = " Trials that trained in one program have a share of its time each." if shared else ""
    return Figure(
        name="pareto",
        title="What does a better value cost?",
        caption=f"{answer}. {counted(len(found), 'complete trial')}, on one seed; no trial is both "
        f"quicker and better than one on the line.{share}",
        alt=f"{report.metric} against training time. {answer}.",
        chart=_chart(found, report.spec.objective),
    )


def _chart(found: Sequence[Mark], objective: Objective) -> "Chart":
    losses = sorted(objective.loss(mark.value) for mark in found)
    scale = looks.values_between(losses[0], losses[ceil(WORST * (len(losses) - 1))], objective)
    at = alt.X(
        "seconds", type="quantitative", title="training time (s)", scale=alt.Scale(zero=False)
    )
    value = alt.Y("value", type="quantitative", scale=scale, title=looks.value_title(objective))
    names = _names(mark.optimizer for mark in found)
    tips = looks.tips("trial:Q", "value:Q", "seconds:Q", "optimizer:N", "schedule:N")
    front = [mark for mark in found if mark.front]
    others = looks.thinned([mark for mark in found if not mark.front])
    dots = (
        alt.Chart(looks.data([*others, *front]))
        .mark_point(size=45, strokeWidth=1.5)
        .encode(
            at, value, looks.optimizer_colour(names), looks.optimizer_shape(names), tooltip=tips
        )
    )
    line = (
        alt.Chart(looks.data(front))
        .mark_line(interpolate="step-after", color=GREEN, strokeWidth=1.5)
        .encode(at, value, tooltip=tips)
    )
    joined: Chart = alt.layer(line, dots)
    return joined


def _names(optimizers: Iterable[str]) -> list[str]:
    return sorted(set(optimizers))
