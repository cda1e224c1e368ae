"""How the best trials learned, and where the others were stopped."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import altair as alt

from lrsearch.report.colours import GREY
from lrsearch.report.figures import looks
from lrsearch.report.figures.figure import Figure
from lrsearch.report.figures.looks import (
    data,
)
from lrsearch.report.model import Report
from lrsearch.report.shown import faint_trials, shown_trials, shown_words
from lrsearch.report.text.format import counted
from lrsearch.report.text.rung_samples import rung_samples_sentence
from lrsearch.spec.trial_value import objective_value
from lrsearch.trial.states import TrialState

if TYPE_CHECKING:
    from lrsearch.report.figures.figure import Chart

HEIGHT = 280
#: A loss whose worst validation is this multiple of its best is drawn on a log scale.
LOG_FACTOR = 5.0
#: Of fewer validations each is a dot.
FEW = 30
RAW, AVERAGED = "raw weights", "averaged weights"


EPOCHS = alt.Axis(tickCount=8, grid=False)


@dataclass(frozen=True, kw_only=True)
class Point:
    """The objective at one validation of a trial."""

    trial: int
    optimizer: str
    schedule: str
    label: str
    state: str
    #: RAW or AVERAGED.
    weights: str
    epoch: float
    value: float


def points(report: Report, *, faint: bool) -> tuple[Point, ...]:
    """Of the trials that are drawn one by one, or of those that were pruned; finite values only."""
    found = []
    for trial in faint_trials(report) if faint else shown_trials(report):
        if trial.number is None or trial.parsed is None:
            continue
        for row in report.curves.get(trial.id, ()):
            values = {RAW: objective_value(row, report.spec)}
            if report.metric == "val_loss":
                values = {RAW: row.val_loss, AVERAGED: row.val_loss_ema}
            elif row.metrics_ema:
                values |= {AVERAGED: row.metrics_ema.get(report.metric)}
            for weights, value in values.items():
                if value is not None:
                    found.append(
                        Point(
                            trial=trial.number,
                            optimizer=trial.parsed.optimizer_name,
                            schedule=trial.parsed.schedule_name,
                            label=trial.label,
                            state=trial.state,
                            weights=weights,
                            epoch=row.epoch,
                            value=value,
                        )
                    )
    return tuple(found)


def rungs(report: Report) -> tuple[float, ...]:
    """Where trials are compared and stopped, in epochs; none without pruning."""
    pruning = report.spec.pruning
    horizon = report.plan.horizon
    return () if pruning is None else tuple(rung * horizon for rung in pruning.rungs)


def figure(report: Report) -> Figure | None:
    """None before a trial has a finite validation."""
    best, faint = points(report, faint=False), points(report, faint=True)
    if not best:
        return None
    pruned = len({point.trial for point in faint})
    numbers = list(dict.fromkeys(point.trial for point in best))
    marks = [f"Thick lines are {shown_words(report, numbers)}"]
    if report.recommended_trial in numbers:
        marks[0] += f"; trial {report.recommended_trial} is the recommended one"
    if pruned:
        of = sum(trial.state == TrialState.PRUNED for trial in report.trials)
        some = f"{pruned} of {of} pruned trials" if pruned < of else counted(pruned, "pruned trial")
        marks.append(f"Faint grey lines are {some}")
    if any(point.weights == AVERAGED for point in best):
        marks.append("Thin lines with dots are the same trial with averaged weights")
    if rungs(report):
        marks.append("Dotted upright lines are the rungs, where the worse trials are stopped")
    said = rung_samples_sentence(report.spec, report.study.steps_per_epoch)
    if said is not None:
        marks.append(said.removesuffix("."))
    labels = list(dict.fromkeys(point.label for point in best))
    return Figure(
        name="curves",
        title="How did the best trials learn?",
        caption=". ".join([*marks, "Each is a trial of the search, on its one seed"]) + ".",
        alt=f"{report.metric} against epochs for trial {'; trial '.join(labels)}.",
        chart=_chart(best, faint, report, labels),
    )


def _chart(
    best: tuple[Point, ...], faint: tuple[Point, ...], report: Report, labels: list[str]
) -> "Chart":
    objective = report.spec.objective
    values = [point.value for point in best]
    low, high = min(values), max(values)
    logarithmic = objective.direction == "minimize" and low > 0 and high > LOG_FACTOR * low
    room = 0.05 * ((high - low) or abs(high) or 1.0)
    scale = alt.Scale(type="linear", domain=[low - room, high + room])
    if logarithmic:
        scale = alt.Scale(type="log", domain=[low, high])
    x = alt.X("epoch:Q", title="epoch", axis=EPOCHS, scale=alt.Scale(domainMin=0, nice=False))
    y = alt.Y("value:Q", title=looks.value_title(objective), scale=scale)
    tips = looks.tips("label:N", "state:N", "weights:N", "epoch:Q", "value:Q")
    layers = []
    if faint:
        # Not `opacity`: each line would be a layer of its own, which a PNG takes half a second for.
        grey = alt.Chart(data(faint)).mark_line(
            color=GREY, strokeOpacity=0.35, strokeWidth=1, clip=True
        )
        layers.append(grey.encode(x, y, detail=["trial:N", "weights:N"], tooltip=tips))
    if rungs(report):
        rules = alt.Chart(alt.InlineData(values=[{"rung": at} for at in rungs(report)]))
        rules = rules.mark_rule(color=GREY, strokeDash=[2, 3])
        layers.append(rules.encode(x="rung:Q", tooltip=looks.tips("rung:Q")))
    raw = [point for point in best if point.weights == RAW]
    averaged = [point for point in best if point.weights == AVERAGED]
    for rows, thickness in ((raw, 2.2), (averaged, 1.0)):
        if rows:
            dots = rows is averaged or len(rows) < FEW
            line = alt.Chart(data(rows)).mark_line(strokeWidth=thickness, point=dots)
            colour = looks.trial_colour(labels).legend(symbolType="stroke", symbolStrokeWidth=2)
            dash = looks.trial_dash(labels).legend(symbolType="stroke", symbolStrokeWidth=2)
            layers.append(line.encode(x, y, colour, dash, tooltip=tips))
    joined: Chart = alt.layer(*layers).properties(height=HEIGHT)
    return joined
