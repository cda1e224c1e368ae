"""Where did the time go? The workers' time, by what they did, and what nothing stored tells of."""

from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING

import altair as alt

from lrsearch.report.colours import BLUE, GREEN, GREY, ORANGE, SKY
from lrsearch.report.figures import looks
from lrsearch.report.figures.clock import UNITS, unit_of
from lrsearch.report.figures.data.time_spent import (
    AUDIT,
    BEFORE,
    CONFIRMATION,
    MEASURING,
    REST,
    SEARCH,
    TimeSpent,
    time_spent,
)
from lrsearch.report.figures.figure import Figure
from lrsearch.report.model import Report
from lrsearch.report.text.format import counted, duration, percent

if TYPE_CHECKING:
    from lrsearch.report.figures.figure import Chart

GROUP_COLOURS = {BEFORE: SKY, SEARCH: BLUE, AUDIT: ORANGE, CONFIRMATION: GREEN, REST: GREY}
TRIALS = " trials"
#: Height of a part, in pixels.
ROW = 24
#: The axis is so many times as long as the longest bar: its words stand beside it.
ROOM = 1.5


def figure(report: Report) -> Figure | None:
    """None where there is but one thing that took time, or nothing."""
    found = time_spent(report)
    if len(found.parts) < 2:
        return None
    answer = _answer(found)
    return Figure(
        name="time_spent",
        title="Where did the time go?",
        caption=f"{answer} {_unknown(found)} Bars are sums over workers{_counts(found)}.",
        alt=f"Time by what workers did. {answer}",
        chart=_chart(found),
    )


def _answer(found: TimeSpent) -> str:
    """The share of each group, the largest first."""
    shares = {
        group: fsum(part.seconds for part in found.parts if part.group == group) / found.total
        for group in GROUP_COLOURS
    }
    largest = sorted(((share, group) for group, share in shares.items() if share), reverse=True)
    told = ", ".join(f"{percent(share)} % {group}" for share, group in largest)
    whole = duration(found.total)
    if found.present is None:
        return f"Of {whole} of training: {told}."
    return f"Of {whole} on {counted(found.workers, 'worker')}: {told}."


def _unknown(found: TimeSpent) -> str:
    """What no stored time tells."""
    validation = "Validation counts as training: it is not timed apart."
    if found.present is None:
        return f"{validation} How long workers started, waited or were idle is not known."
    return (
        f"{validation} What a worker did not train is the rest of the time from its first sign to "
        "its last: start-up, reading data, choosing recipes, waiting for others, writing, and work "
        "that was lost with a worker."
    )


def _counts(found: TimeSpent) -> str:
    """`; trials: 12 complete, 23 pruned`"""
    searched = [part for part in found.parts if part.count and part.group == SEARCH]
    told = ", ".join(f"{part.count} {part.name.removesuffix(TRIALS)}" for part in searched)
    names = {part.name for part in found.parts}
    measured = f"; {MEASURING} is how many trials to fuse" if MEASURING in names else ""
    return f"; trials: {told}{measured}" if told else measured


def _chart(found: TimeSpent) -> "Chart":
    unit = unit_of(max(part.seconds for part in found.parts))
    bars = bars_of(found, unit)
    groups = [group for group in GROUP_COLOURS if any(bar.group == group for bar in bars)]
    scale = alt.Scale(domain=groups, range=[GROUP_COLOURS[group] for group in groups])
    longest = max(bar.time for bar in bars)
    base = alt.Chart(looks.data(bars)).encode(
        x=alt.X(
            "time",
            type="quantitative",
            title=f"{unit} of all workers",
            scale=alt.Scale(domain=[0, ROOM * longest], nice=False),
            axis=alt.Axis(grid=False, tickCount=6),
        ),
        y=alt.Y("name", type="nominal", sort=[bar.name for bar in bars], title=None),
        tooltip=looks.tips("what:N", "group:N", "told:N"),
    )
    bar = base.mark_bar(height=ROW - 8).encode(
        color=alt.Color("group", type="nominal", scale=scale, title=None)
    )
    told = base.mark_text(align="left", dx=5).encode(text=alt.Text("told", type="nominal"))
    joined: Chart = alt.layer(bar, told).properties(height=ROW * len(bars))
    return joined


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A part as it is drawn."""

    name: str
    group: str
    #: `23 pruned trials`
    what: str
    #: In the unit of the axis.
    time: float
    #: `12 s, 34 %`
    told: str


def bars_of(found: TimeSpent, unit: str) -> list[Bar]:
    return [
        Bar(
            name=part.name,
            group=part.group,
            what=part.name if part.count is None else f"{part.count} {part.name}",
            time=part.seconds / UNITS[unit],
            told=f"{duration(part.seconds)}, {percent(part.seconds / found.total)} %",
        )
        for part in found.parts
    ]
