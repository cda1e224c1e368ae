"""Who trained what, and when? A bar for each trial on its worker, with the faults it survived."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import altair as alt

from lrsearch.report.colours import GREY, PINK
from lrsearch.report.figures import looks
from lrsearch.report.figures.clock import UNITS, unit_of
from lrsearch.report.figures.data.timeline import Stretch, Timeline, timeline
from lrsearch.report.figures.figure import Figure
from lrsearch.report.model import Report
from lrsearch.report.text.format import counted, duration

if TYPE_CHECKING:
    from lrsearch.report.figures.figure import Chart

#: Height of a worker, in pixels: of a few, and of many.
ROW, MANY, LOW_ROW = 22, 12, 14
#: Height of a bar, of one of many in a row, and at most of the whole, in pixels.
BAR, LANE, MOST_HIGH = 9, 7, 900
#: White around each of a few bars, so that neighbours are told apart; pink around some: widths.
EDGE, MOST_EDGED, FRAME = 0.3, 300, 2.0


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A worker from its first sign to its last, or a fault, in the unit of the axis."""

    worker: str
    begin: float
    end: float
    what: str


def figure(report: Report) -> Figure | None:
    """None before a trial has begun on a worker."""
    found = timeline(report)
    if not found.stretches:
        return None
    answer = _answer(found)
    return Figure(
        name="timeline",
        title="Who trained what, and when?",
        caption=" ".join([answer, *_explained(found)]),
        alt=f"Trials over time by worker. {answer}",
        chart=_chart(found),
    )


def _answer(found: Timeline) -> str:
    """How many trials and workers, how long, and what went wrong."""
    trials, workers = len(found.stretches), counted(len(found.workers), "worker")
    shown = workers
    if len(found.workers) < found.of_workers:
        shown = f"{workers} of {found.of_workers} that trained the most"
    said = f"{counted(trials, 'trial')} on {shown} in {duration(found.seconds)}."
    again = sum(stretch.attempts > 1 for stretch in found.stretches)
    if not again and not found.faults:
        return f"{said} Nothing was interrupted."
    times = counted(len(found.faults), "time")
    lost = f" The work of a lost worker was freed {times}." if found.faults else ""
    return f"{said} {counted(again, 'trial')} went on after an interruption.{lost}"


def _explained(found: Timeline) -> Iterator[str]:
    if len(found.stretches) > looks.MOST_POINTS:
        yield f"The {looks.MOST_POINTS} that took the longest are drawn."
    if found.is_planned:
        yield (
            "A bar is as long as the trial was trained, up to its end, or from its start if it was "
            "pruned where it waited; it lies on the worker that had it last. When it went on after "
            "it waited is not in the database."
        )
    else:
        yield "A bar is a trial from its first start to its end, on the worker that had it last."
    if found.lanes > 1 and not found.is_planned:
        yield (
            "Bars of one worker that lie one below the other are trials that were trained at the "
            "same time, in one program."
        )
    if any(stretch.attempts > 1 for stretch in found.stretches):
        yield "A pink frame is a trial that went on after an interruption."
    if found.faults:
        yield "A pink cross is where a loss was found; pointing at it says what was done."
    if found.presences:
        yield (
            "A grey line is a worker from its first sign to its last. Range tests and confirmation "
            "have no times in the database: they are among what lies between the bars."
        )


def drawn(found: Timeline) -> list[Stretch]:
    """Those that took the longest, so that no gap is drawn where a worker trained for long."""
    longest = sorted(found.stretches, key=lambda stretch: stretch.begin - stretch.end)
    return sorted(longest[: looks.MOST_POINTS], key=lambda stretch: stretch.begin)


def bars_of(found: Timeline, unit: str) -> list[Stretch]:
    """In the unit of the axis."""
    one = UNITS[unit]
    return [
        replace(stretch, begin=stretch.begin / one, end=stretch.end / one)
        for stretch in drawn(found)
    ]


def marks_of(found: Timeline, unit: str) -> tuple[list[Mark], list[Mark]]:
    """Workers, and faults."""
    one = UNITS[unit]
    workers = [
        Mark(worker=each.worker, begin=each.begin / one, end=each.end / one, what="worker")
        for each in found.presences
    ]
    faults = [
        Mark(worker=each.worker, begin=each.at / one, end=each.at / one, what=each.what)
        for each in found.faults
    ]
    return workers, faults


def _chart(found: Timeline) -> "Chart":
    unit = unit_of(found.seconds)
    bars, (workers, faults) = bars_of(found, unit), marks_of(found, unit)
    whole = found.seconds / UNITS[unit] or 1.0
    at = alt.X(
        "begin",
        type="quantitative",
        title=f"{unit} since the first {'worker' if workers else 'trial'} began",
        scale=alt.Scale(domain=[0, whole], nice=False, padding=4),
        axis=alt.Axis(grid=False, tickCount=8),
    )
    row = alt.Y("worker", type="nominal", sort=list(found.workers), title=None)
    again = [bar for bar in bars if bar.attempts > 1]
    states = {bar.state for bar in bars}
    layers: list[alt.Chart] = []
    if workers:
        line = alt.Chart(looks.data(workers)).mark_rule(color=GREY, strokeWidth=1.5)
        layers.append(line.encode(at, row, x2=alt.X2("end")))
    colour = looks.state_colour("state", [s for s in looks.STATE_COLOURS if s.value in states])
    height = len(found.workers) * (ROW if len(found.workers) <= MANY else LOW_ROW)
    place: list[alt.Y | alt.YOffset] = [row]
    if found.lanes > 1:
        height = max(height, min(MOST_HIGH, LANE * (found.lanes + 1) * len(found.workers)))
        scale = alt.Scale(domain=list(range(found.lanes)))
        place.append(alt.YOffset("lane", type="ordinal", scale=scale))
    tall = min(BAR, max(1.0, 0.8 * height / len(found.workers) / (found.lanes + 0.5)))
    layers.append(_bars(bars, "white", tall).encode(at, *place, colour))
    if again:
        layers.append(_bars(again, PINK, tall).encode(at, *place, colour))
    if faults:
        cross = alt.Chart(looks.data(faults)).mark_point(
            shape=looks.X_MARK, size=60, color=PINK, strokeWidth=2.5, opacity=1
        )
        layers.append(cross.encode(at, row, tooltip=looks.tips("what:N", "worker:N", "begin:Q")))
    joined: Chart = alt.layer(*layers).properties(height=height)
    return joined


def _bars(bars: Sequence[Stretch], frame: str, tall: float) -> alt.Chart:
    """`tall` is the height of a bar in pixels."""
    edge = EDGE if len(bars) <= MOST_EDGED else 0.0
    mark = alt.Chart(looks.data(bars)).mark_bar(
        opacity=0.7, height=tall, stroke=frame, strokeWidth=FRAME if frame == PINK else edge
    )
    tips = ("trial:Q", "state:N", "worker:N", "begin:Q", "end:Q", "attempts:Q", "optimizer:N")
    chart: alt.Chart = mark.encode(x2=alt.X2("end"), tooltip=looks.tips(*tips))
    return chart
