"""What do the best recipes have in common? A line for each trial over the searched numbers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import altair as alt

from lrsearch.report.colours import BLUE, GREEN, GREY
from lrsearch.report.figures import looks
from lrsearch.report.figures.data.coordinates import (
    BEST_SHARE,
    Axis,
    Coordinates,
    Line,
    coordinates,
)
from lrsearch.report.figures.figure import Figure
from lrsearch.report.model import Report
from lrsearch.report.text.format import number

if TYPE_CHECKING:
    from lrsearch.report.figures.figure import Chart

HEIGHT = 300
#: Where lines of trials go that do not have a field: below its axis.
NOWHERE = -0.14
#: Room beside the first and the last axis, as a share of what lies between two.
MARGIN = 1.0
#: Of a logarithm, so that 0.1 has its own decade.
ROUNDING = 1e-9
#: Values beside an axis are at least so far apart.
APART = 0.09
#: What the lines of the best stay within is told where it is at most this share of an axis.
NARROW, LEAST_BEST, MOST_TOLD = 0.5, 3, 3
#: Of the best this share at each end of an axis may lie anywhere.
TAIL = 0.1
#: What the lines are, in the order in which they are drawn.
OTHER, BEST, RECOMMENDED = "other trials", "the best", "recommended"
KINDS = {OTHER: GREY, BEST: BLUE, RECOMMENDED: GREEN}


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where a trial's line meets an axis."""

    #: Joins the points of a trial; not its number, which would mark the whole plot as the trial.
    line: str
    trial: int
    optimizer: str
    schedule: str
    state: str
    #: OTHER, BEST or RECOMMENDED.
    kind: str
    axis: str
    y: float
    #: The trial's value; `none` of one without a result.
    value: str


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A value beside an axis."""

    axis: str
    y: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An axis, from its one end to its other."""

    axis: str
    y: float
    y2: float


def figure(report: Report) -> Figure | None:
    """None for few trials, while none is complete, and for one searched number."""
    found = coordinates(report)
    if found is None:
        return None
    answer = _answer(found)
    names = ", ".join(axis.name for axis in found.axes)
    return Figure(
        name="parallel_coordinates",
        title="What do the best recipes have in common?",
        caption=" ".join([answer, *_explained(found)]),
        alt=f"A line for each trial over the axes {names}. {answer}",
        chart=_chart(found),
    )


def _answer(found: Coordinates) -> str:
    """The optimizers of the best, and the axes on which they lie close together."""
    names = [f"{looks.short_name(name)} ({count})" for name, count in found.optimizers]
    rest = ["others"] if len(names) > MOST_TOLD else []
    said = (
        f"The best {found.best} of {found.trials} ended trials are of "
        f"{', '.join([*names[:MOST_TOLD], *rest])}."
    )
    first, count = found.optimizers[0]
    best = [line for line in found.lines if line.is_best and line.optimizer == first]
    narrow = sorted(_spans(found.axes[:-1], best))[:MOST_TOLD]
    if not narrow:
        return said
    drawn = f"{len(best)} drawn" if len(best) < count else f"{count}"
    most = f"All {drawn}" if len(best) * TAIL <= 1 else f"{100 - 200 * TAIL:.0f} % of the {drawn}"
    spans = "; ".join(span for _, span in narrow)
    return f"{said} {most} of {looks.short_name(first)} have {spans}."


def _spans(axes: Sequence[Axis], best: Sequence[Line]) -> Iterator[tuple[float, str]]:
    """How much of an axis most of the best take up, and from where to where: the narrow ones."""
    for i, axis in enumerate(axes):
        values = [value for line in best if (value := line.values[i]) is not None]
        places = [place for line in best if (place := line.places[i]) is not None]
        if len(places) < max(LEAST_BEST, len(best) / 2):
            continue
        share = _quantile(places, 1 - TAIL) - _quantile(places, TAIL)
        if share <= NARROW:
            low, high = (number(_quantile(values, q), 2) for q in (TAIL, 1 - TAIL))
            yield share, f"{axis.name} {low}" if low == high else f"{axis.name} {low} to {high}"


def _quantile(values: Sequence[float], share: float) -> float:
    """One of the values; of fewer than 11, the tails leave none out."""
    at = share * (len(values) - 1)
    return sorted(values)[math.floor(at) if share < 0.5 else math.ceil(at)]


def _explained(found: Coordinates) -> Iterator[str]:
    if len(found.lines) < found.trials:
        best = sum(line.is_best for line in found.lines)
        told = f"all {best}" if best == found.best else f"{best}"
        yield f"Drawn are {len(found.lines)} trials, {told} of the best, the first among them."
    yield (
        f"The best are {100 * BEST_SHARE:.0f} % of the trials, by value. On the last axis up is "
        "better, and what lies beyond its lower end is drawn there."
    )
    if any(line.places[-1] is None for line in found.lines):
        yield "A pruned or diverged trial has no result: its line ends at \u201cnone\u201d."
    if any(place is None for line in found.lines for place in line.places[:-1]):
        yield (
            "A line passes \u201cnone\u201d on the axis of a number that its recipe lacks, or that "
            "is 0 where the axis is logarithmic."
        )
    if any(axis.scale == "complement" for axis in found.axes):
        yield "Decay rates stand by the logarithm of their distance from 1, as they are sampled."
    if found.left_out:
        yield f"Without an axis, as fewer trials have them: {', '.join(found.left_out)}."
    yield "All values are of one seed."


def points_of(found: Coordinates) -> list[Point]:
    return [
        Point(
            line=f"trial {line.trial}",
            trial=line.trial,
            optimizer=line.optimizer,
            schedule=line.schedule,
            state=line.state,
            kind=RECOMMENDED if line.is_recommended else BEST if line.is_best else OTHER,
            axis=axis.name,
            y=NOWHERE if place is None else place,
            value="none" if line.value is None else number(line.value),
        )
        for line in found.lines
        for axis, place in zip(found.axes, line.places, strict=True)
    ]


def ticks_of(axis: Axis) -> list[Tick]:
    """Its two ends, and round values in between that have room."""
    kept = [(0.0, axis.start), (1.0, axis.end)]
    for value in axis.choices or _round_values(axis):
        place = axis.place(value)
        if place is not None and all(abs(place - other) >= APART for other, _ in kept):
            kept.append((place, value))
    return [Tick(axis=axis.name, y=place, text=_text(axis, v)) for place, v in sorted(kept)]


def _text(axis: Axis, value: float) -> str:
    """With as many digits as tell it from 1 where that matters: `0.999`; `1e-5`."""
    digits = 2
    if axis.scale == "complement" and 0.9 < value < 1:
        digits = 1 - math.floor(math.log10(1 - value) + ROUNDING)
    return number(value, digits).replace("e-0", "e-")


def _round_values(axis: Axis) -> list[float]:
    """Powers of ten first, then their multiples; on a linear axis steps of 1, 2 or 5."""
    low, high = sorted((axis.start, axis.end))
    if axis.scale == "linear":
        return _steps(low, high)
    if axis.scale == "complement":
        low, high = 1 - high, 1 - low
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [factor * 10.0**decade for factor in (1, 3) for decade in decades]
    inside = [value for value in values if low < value < high]
    return [1 - value for value in inside] if axis.scale == "complement" else inside


def _steps(low: float, high: float) -> list[float]:
    """About four steps."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    return [i * step for i in range(first, math.floor(high / step) + 1)]


def _chart(found: Coordinates) -> "Chart":
    points = points_of(found)
    names = [axis.name for axis in found.axes]
    x = alt.X(
        "axis",
        type="nominal",
        sort=names,
        title=None,
        axis=alt.Axis(labelAngle=-30, grid=False, ticks=False, domain=False),
        scale=alt.Scale(type="point", padding=MARGIN),
    )
    y = alt.Y("y", type="quantitative", axis=None, scale=alt.Scale(domain=[NOWHERE - 0.05, 1.04]))
    kinds = [kind for kind in KINDS if any(point.kind == kind for point in points)]
    layers = [*(_lines(points, kind, kinds, x, y) for kind in kinds), *_axes(found, x, y)]
    frame = alt.ViewBackground(stroke=None)
    joined: Chart = alt.layer(*layers, view=frame).properties(height=HEIGHT)
    return joined


def _lines(
    points: Sequence[Point], kind: str, kinds: Sequence[str], x: alt.X, y: alt.Y
) -> alt.Chart:
    scale = alt.Scale(domain=list(kinds), range=[KINDS[kind] for kind in kinds])
    legend = alt.Legend(symbolOpacity=1.0, symbolStrokeWidth=3.0)
    colour = alt.Color("kind", type="nominal", scale=scale, title=None, legend=legend)
    tips = looks.tips("trial:Q", "optimizer:N", "schedule:N", "state:N", "value:N")
    width, opacity = {OTHER: (1.0, 0.3), BEST: (1.6, 0.85), RECOMMENDED: (3.5, 0.9)}[kind]
    base = alt.Chart(looks.data([point for point in points if point.kind == kind]))
    line: alt.Chart = base.mark_line(strokeWidth=width, strokeOpacity=opacity)
    return line.encode(x, y, colour, detail="line:N", tooltip=tips)


def _axes(found: Coordinates, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    rules = [Rule(axis=axis.name, y=0.0, y2=1.0) for axis in found.axes]
    ticks = [tick for axis in found.axes for tick in ticks_of(axis)]
    nowhere = [
        Tick(axis=axis.name, y=NOWHERE, text="none")
        for i, axis in enumerate(found.axes)
        if any(line.places[i] is None for line in found.lines)
    ]
    base = alt.Chart(looks.data([*ticks, *nowhere])).encode(x, y)
    mark = base.mark_tick(orient="horizontal", size=7, thickness=1, color=GREY)
    words = base.mark_text(align="right", dx=-6, fontSize=10)
    return [
        alt.Chart(looks.data(rules)).mark_rule(color=GREY).encode(x, y, y2=alt.Y2("y2")),
        mark,
        words.encode(text=alt.Text("text", type="nominal")),
    ]
