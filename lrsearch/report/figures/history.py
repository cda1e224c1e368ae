"""Is the search still finding better recipes: every trial in the order of starts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import altair as alt

from lrsearch.report.colours import BLUE, GREEN, ORANGE
from lrsearch.report.figures import looks
from lrsearch.report.figures.figure import Figure
from lrsearch.report.figures.looks import (
    data,
    thinned,
)
from lrsearch.report.model import Report
from lrsearch.report.text.format import counted, number
from lrsearch.trial.states import TrialState

if TYPE_CHECKING:
    from lrsearch.report.figures.figure import Chart

HEIGHT, STRIP_HEIGHT = 240, 48
#: Drawn in a strip below: they have no value that could stand beside a complete trial's.
WITHOUT_VALUE = (TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED)


@dataclass(frozen=True, kw_only=True)
class Start:
    """A trial that has ended, or the baseline."""

    trial: int
    optimizer: str
    schedule: str
    state: str
    recipe: str
    #: At the end of a whole training; None of a trial that was not trained to its end.
    value: float | None


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best value of a complete trial up to this one."""

    at: int
    best: float


@dataclass(frozen=True, kw_only=True)
class History:
    starts: tuple[Start, ...]
    #: Where it got better, and at the last trial.
    best: tuple[Best, ...]
    baseline: float | None


def history(report: Report) -> History:
    """Every ended trial by number, and the best so far."""
    starts, steps = [], []
    best: float | None = None
    for trial in report.trials:
        if trial.number is None or trial.parsed is None or not trial.has_ended:
            continue
        value = trial.value if trial.is_scored else None
        starts.append(
            Start(
                trial=trial.number,
                optimizer=trial.parsed.optimizer_name,
                schedule=trial.parsed.schedule_name,
                state=trial.state,
                recipe=trial.parsed.title(),
                value=value,
            )
        )
        if value is not None and (best is None or report.spec.objective.better(value, best)):
            best = value
            steps.append(Best(at=trial.number, best=value))
    if best is not None:
        steps.append(Best(at=starts[-1].trial, best=best))
    base = report.baseline
    return History(
        starts=tuple(starts),
        best=tuple(steps),
        baseline=base.value if base is not None and base.is_scored else None,
    )


def figure(report: Report) -> Figure | None:
    """None before a trial is complete."""
    found = history(report)
    complete = [start for start in found.starts if start.value is not None]
    if not complete:
        return None
    drawn = len(thinned(complete))
    shown = f"{drawn} of {len(complete)}" if drawn < len(complete) else f"{len(complete)}"
    last = found.best[-1]
    reached = next(step.at for step in found.best if step.best == last.best)
    return Figure(
        name="history",
        title="Is the search still finding better recipes?",
        caption=" ".join(
            [
                f"The best value, {number(last.best)}, came with trial {reached} of "
                f"{counted(len(found.starts), 'ended trial')}. Dots are the {shown} complete "
                "trials in the order in which they started; the line is the best of them so far.",
                *_explained(found),
                "All values are of one seed.",
            ]
        ),
        alt=f"{report.metric} of {counted(len(complete), 'complete trial')} in the order of their "
        f"starts; the best is {number(last.best)}, of trial {reached}.",
        chart=_chart(found, report),
    )


def _explained(found: History) -> Iterator[str]:
    """What else is drawn."""
    there = {start.state for start in found.starts}
    lost = [state.value for state in WITHOUT_VALUE if state in there]
    if lost:
        are = " and ".join([", ".join(lost[:-1]), lost[-1]] if len(lost) > 1 else lost)
        yield (
            f"{are.capitalize()} trials have no final value: their marks stand in the strip below "
            "the dots."
        )
    if found.baseline is not None:
        yield "The dashed line is your baseline's value."


def _numbers(found: History, *, labelled: bool) -> alt.X:
    """An axis of trial numbers."""
    last = max(1, found.starts[-1].trial)
    return alt.X(
        "trial:Q",
        title="trial" if labelled else None,
        axis=alt.Axis(format="d", tickCount=min(10, last), labels=labelled, grid=False),
        scale=alt.Scale(domain=[0, last], nice=False, padding=8),
    )


def _chart(found: History, report: Report) -> "Chart":
    objective = report.spec.objective
    complete = thinned([start for start in found.starts if start.value is not None])
    values = [start.value for start in complete if start.value is not None]
    low, high = min(values), max(values)
    positive = low > 0 and objective.direction == "minimize"
    room = 0.05 * ((high - low) or abs(low) or 1.0)
    lowest = max(low - room, 0.9 * low) if positive else low - room
    scale = looks.value_scale(lowest, high + room, objective)
    stopped = thinned([start for start in found.starts if start.state in WITHOUT_VALUE])
    x, upper = (_numbers(found, labelled=labelled) for labelled in (True, not stopped))
    y = alt.Y("value:Q", title=looks.value_title(objective), scale=scale)
    tips = looks.tips("trial:Q", "recipe:N", "state:N", "value:Q")
    dots = alt.Chart(data(complete)).mark_point(
        filled=True, size=looks.mark_size(len(complete), 40), opacity=0.75
    )
    line = alt.Chart(data(found.best)).mark_line(
        interpolate="step-after", color=GREEN, strokeWidth=2
    )
    layers = [
        dots.encode(upper, y, color=alt.value(BLUE), tooltip=tips),
        line.encode(x=alt.X("at:Q"), y="best:Q", tooltip=looks.tips("at:Q", "best:Q")),
    ]
    if found.baseline is not None:
        rule = alt.Chart(alt.InlineData(values=[{"baseline": found.baseline}]))
        rule = rule.mark_rule(color=ORANGE, strokeDash=[6, 4], strokeWidth=1.5)
        layers.append(rule.encode(y="baseline:Q", tooltip=looks.tips("baseline:Q")))
    top: Chart = alt.layer(*layers).properties(height=HEIGHT)
    if not stopped:
        return top
    below = _strip(stopped).encode(x)
    joined: Chart = alt.vconcat(top, below, spacing=6).resolve_scale(x="shared")
    return joined


def _strip(stopped: Sequence[Start]) -> "Chart":
    """Trials without a final value, a row for each state."""
    states = [state for state in WITHOUT_VALUE if state in {start.state for start in stopped}]
    strip = alt.Chart(data(stopped)).mark_point(size=looks.mark_size(len(stopped), 30), opacity=0.7)
    rows: Chart = strip.encode(
        y=alt.Y("state:N", title=None, sort=[state.value for state in states]),
        color=looks.state_colour("state", states).legend(None),  # the axis names them
        shape=looks.state_shape("state", states).legend(None),
        tooltip=looks.tips("trial:Q", "recipe:N", "state:N"),
    ).properties(height=STRIP_HEIGHT)
    return rows
