"""Does the schedule matter, or only the learning rate? The best of either, whatever the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import altair as alt

from lrsearch.report.answer.rankings import schedule_ranking
from lrsearch.report.colours import BLUE, ORANGE
from lrsearch.report.figures import looks
from lrsearch.report.figures.data.best_of import Group, by_lr, by_schedule
from lrsearch.report.figures.figure import OPTIMIZER, SCHEDULE, Figure
from lrsearch.report.figures.looks import (
    PANEL_HEIGHT,
    data,
)
from lrsearch.report.model import Report
from lrsearch.report.text.format import learning_rate, number
from lrsearch.report.text.rankings import ranking_sentences
from lrsearch.spec.parts import Objective

#: Width of what belongs to one group, in pixels.
STEP = 46
#: Beyond the best and the worst value, as a share of the axis: marks at its ends are not cut.
ROOM = 0.06
NAME, EXPECTED, LOW, HIGH, BEST = "name", "expected", "low", "high", "best"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A group as it is drawn."""

    name: str
    optimizer: str
    schedule: str | None
    expected: float
    low: float
    high: float
    best: float | None
    trials: int
    complete: int


def bars_of(groups: Sequence[Group]) -> list[Bar]:
    """Those that can be compared."""
    return [
        Bar(
            name=_name(group),
            optimizer=group.optimizer,
            schedule=group.schedule,
            expected=group.expected.value,
            low=group.expected.low,
            high=group.expected.high,
            best=group.best,
            trials=group.trials,
            complete=group.complete,
        )
        for group in groups
        if group.expected is not None
    ]


def _name(group: Group) -> str:
    if group.lrs is not None:
        return f"{learning_rate(group.lrs[0])} to {learning_rate(group.lrs[1])}"
    return group.schedule or ""


def figure(report: Report) -> Figure | None:
    """Of the recommended recipe's optimizer; None unless two schedules can be compared."""
    recipe = report.recommended
    if recipe is None:
        return None
    name = recipe.optimizer_name
    schedules = by_schedule(report, name)
    bars = bars_of(schedules.groups)
    if len(bars) < 2:
        return None
    objective = report.spec.objective
    rates = bars_of(by_lr(report, name).groups)
    ranked = sorted(bars, key=lambda bar: objective.loss(bar.expected))
    said = ranking_sentences(schedule_ranking(report), report.metric)
    answer = " ".join([said or _ends("schedules", ranked, objective), *_of_rates(rates, objective)])
    return Figure(
        name="shape",
        title="Does the schedule matter, or only the learning rate?",
        caption=(
            f"{answer} Trials of {looks.short_name(name)} alone, each on the search's one seed. A "
            f"dot is what the best of {schedules.k} trials of a schedule, or of half a decade of "
            "learning rates, is expected to reach, a bar its 95 % interval by a bootstrap over its "
            "trials, a tick its best complete trial. A schedule is drawn over all its learning "
            "rates, and a learning rate over all its schedules."
        ),
        alt=f"Expected best {report.metric} by schedule and by learning rate. {answer}",
        chart=chart(ranked, rates, objective),
    )


def _of_rates(rates: Sequence[Bar], objective: Objective) -> Iterator[str]:
    """How far apart the learning rates are."""
    if len(rates) > 1:
        ranked = sorted(rates, key=lambda bar: objective.loss(bar.expected))
        yield _ends("learning rates", ranked, objective)


def _ends(what: str, ranked: Sequence[Bar], objective: Objective) -> str:
    """From the best of these to the worst."""
    best, worst = ranked[0], ranked[-1]
    return (
        f"From the best {what} ({best.name}) to the worst ({worst.name}) the {objective.metric} "
        f"goes from {number(best.expected, 3)} to {number(worst.expected, 3)}."
    )


def chart(schedules: Sequence[Bar], rates: Sequence[Bar], objective: Objective) -> alt.ConcatChart:
    """Schedules, the best first, beside learning rates, the lowest first, on one axis of values."""
    every = [*schedules, *rates]
    ends = [value for bar in every for value in (bar.low, bar.high, bar.best) if value is not None]
    low, high = min(ends), max(ends)
    room = ROOM * (high - low)
    low = max(low - room, low / (1 + ROOM)) if low > 0 else low - room
    scale = looks.value_scale(low, high + room, objective)
    drawn = [_panel(schedules, "schedule", scale, objective)]
    if len(rates) > 1:
        drawn.append(_panel(rates, "learning rate (peak)", scale, objective))
    joined: alt.ConcatChart = alt.concat(*drawn, columns=2).resolve_scale(y="shared")
    return joined


def _panel(bars: Sequence[Bar], title: str, scale: alt.Scale, objective: Objective) -> looks.Layers:
    names = [bar.name for bar in bars]
    place = alt.X(NAME, type="nominal", sort=names, title=title, axis=alt.Axis(labelAngle=-35))
    label = looks.value_title(objective)
    tips = [f"{NAME}:N", f"{EXPECTED}:Q", f"{LOW}:Q", f"{HIGH}:Q", f"{BEST}:Q"]
    base = alt.Chart(data(bars)).encode(
        x=place,
        tooltip=looks.tips(*tips, f"{OPTIMIZER}:N", f"{SCHEDULE}:N", "trials:Q", "complete:Q"),
    )
    rule = base.mark_rule(color=BLUE, strokeWidth=2).encode(
        alt.Y(LOW, type="quantitative", scale=scale, title=label), y2=alt.Y2(HIGH)
    )
    dot = base.mark_point(color=BLUE, filled=True, size=70, opacity=1).encode(
        alt.Y(EXPECTED, type="quantitative", scale=scale, title=label)
    )
    tick = base.mark_tick(color=ORANGE, thickness=2, size=16).encode(
        alt.Y(BEST, type="quantitative", scale=scale, title=label)
    )
    return alt.layer(rule, dot, tick).properties(width=alt.Step(STEP), height=PANEL_HEIGHT)
