"""How charts look: shapes and axes that they share; a shape says once more what a colour says."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import altair as alt
from altair.utils.schemapi import debug_mode

from lrsearch.catalog.script import SCRIPT, in_words
from lrsearch.report.colours import BLUE, COLOURS, GREEN, GREY, ORANGE, RED
from lrsearch.report.figures.figure import OPTIMIZER
from lrsearch.spec.parts import Objective
from lrsearch.trial.states import TrialState

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from altair.utils.schemapi import UndefinedType

SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "triangle-right")
DASHES = ([1, 0], [6, 2], [3, 1, 1, 1], [1, 1], [8, 2, 2, 2])
#: A cross of two strokes: Vega's own stands upright and looks like a plus.
X_MARK = "M-1,-1L1,1M-1,1L1,-1"
#: Of what lies beyond an axis: it points to where. Triangles are pruned trials.
UP_ARROW = "M0,-1L0.8,0.1L0.25,0.1L0.25,1L-0.25,1L-0.25,0.1L-0.8,0.1Z"
DOWN_ARROW = "M0,1L0.8,-0.1L0.25,-0.1L0.25,-1L-0.25,-1L-0.25,-0.1L-0.8,-0.1Z"
#: What each state looks like. Pruned trials are open and faint: no result.
STATE_COLOURS = {
    TrialState.COMPLETE: BLUE,
    TrialState.PRUNED: GREY,
    TrialState.DIVERGED: RED,
    TrialState.FAILED: ORANGE,
    TrialState.RUNNING: GREEN,
    TrialState.WAITING: GREEN,
}
STATE_SHAPES = {
    TrialState.COMPLETE: "circle",
    TrialState.PRUNED: "triangle-up",
    TrialState.DIVERGED: X_MARK,
    TrialState.FAILED: "square",
    TrialState.RUNNING: "diamond",
    TrialState.WAITING: "triangle-right",
}
#: Of more points than this each is drawn smaller.
CROWD = 200
#: More points than this are not drawn one by one.
MOST_POINTS = 2000
#: Of panels that stand beside each other, in pixels; the page sets the width of all other charts.
PANEL_WIDTH, PANEL_HEIGHT, PANELS_PER_ROW = 260, 200, 3
#: Values that span more than this factor are drawn on a log scale.
LOG_FACTOR = 10.0
#: Room beyond the best and the worst value, as a share of the axis.
ROOM = 0.06

#: What `altair.layer` returns.
Layers: TypeAlias = alt.LayerChart | alt.FacetChart
#: Of an axis, in a line or more.
Title: TypeAlias = str | tuple[str, ...]
T = TypeVar("T")


def data(rows: "Iterable[DataclassInstance]") -> alt.InlineData:
    """Rows for a chart, a field for each of a flat dataclass; what is None is left out.

    Altair copies lists at each call that adds to a chart, and checks each value of each row. A
    tuple is not copied, and plain values need no check: both took most of the time.
    """
    values = tuple({k: v for k, v in vars(row).items() if v is not None} for row in rows)
    with debug_mode(False):
        return alt.InlineData(values=values)


def short_name(optimizer: str) -> str:
    """The class alone of an optimizer that is not torch's: charts have little room."""
    if optimizer == SCRIPT:
        return in_words(optimizer)
    return optimizer.rpartition(".")[2].rpartition(":")[2]


def thinned(items: Sequence[T], most: int = MOST_POINTS) -> list[T]:
    """At most so many, evenly spread, the first and the last included."""
    if len(items) <= most:
        return list(items)
    if most < 2:
        return list(items[: max(0, most)])
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def mark_size(count: int, size: float) -> float:
    """Square pixels of a mark: `size`, and the less the more there are, down to a sixth."""
    return size * max(1 / 6, min(1.0, CROWD / max(1, count)))


def tips(*fields: str) -> list[alt.Tooltip]:
    """What pointing at a mark shows: a field of its row each, `NAME:Q` for a number, else words.

    Built here, as Altair takes 20 ms to read one that it is given as text.
    """
    parted = [field.partition(":") for field in fields]
    return [
        alt.Tooltip(name, type="quantitative", format=".4~g")
        if kind == "Q"
        else alt.Tooltip(name, type="nominal")
        for name, _, kind in parted
    ]


def optimizer_colour(names: Sequence[str], title: str | None = "optimizer") -> alt.Color:
    """A colour for each optimizer: the same in every chart that is given the same names."""
    scale = alt.Scale(domain=list(names), range=list(optimizer_colours(names).values()))
    return alt.Color(OPTIMIZER, type="nominal", scale=scale, title=title, legend=legend_of(names))


def optimizer_colours(names: Sequence[str]) -> dict[str, str]:
    """The same as values."""
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def optimizer_shape(names: Sequence[str], title: str | None = "optimizer") -> alt.Shape:
    """A shape for each; with the colour it tells 42 optimizers apart."""
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(names))]
    scale = alt.Scale(domain=list(names), range=shapes)
    return alt.Shape(OPTIMIZER, type="nominal", scale=scale, title=title, legend=legend_of(names))


def state_colour(field: str, states: Sequence[TrialState], title: str | None = None) -> alt.Color:
    """The colours of these states, in a legend of their words."""
    scale = alt.Scale(
        domain=[state.value for state in states], range=[STATE_COLOURS[s] for s in states]
    )
    return alt.Color(field, type="nominal", scale=scale, title=title, legend=legend_of(states))


def state_shape(field: str, states: Sequence[TrialState], title: str | None = None) -> alt.Shape:
    """The shapes of these states, in a legend of their words."""
    scale = alt.Scale(
        domain=[state.value for state in states], range=[STATE_SHAPES[s] for s in states]
    )
    return alt.Shape(field, type="nominal", scale=scale, title=title, legend=legend_of(states))


def state_fill(field: str, states: Sequence[TrialState], title: str | None = None) -> alt.Fill:
    """Complete trials are filled, all others open."""
    fills = [STATE_COLOURS[s] if s == TrialState.COMPLETE else "transparent" for s in states]
    scale = alt.Scale(domain=[state.value for state in states], range=fills)
    return alt.Fill(field, type="nominal", scale=scale, title=title, legend=legend_of(states))


def legend_of(entries: Sequence[str]) -> "alt.Legend | UndefinedType | None":
    """None for a single entry, which tells nothing apart: the caption names it."""
    return alt.Undefined if len(entries) > 1 else None


def worse_edge(objective: Objective) -> str:
    """Where an axis of values ends at the worse side: `top` or `bottom`."""
    return "top" if objective.direction == "minimize" else "bottom"


def worse_arrow(objective: Objective) -> str:
    """The shape of what is worse than the axis reaches."""
    return UP_ARROW if objective.direction == "minimize" else DOWN_ARROW


def value_title(objective: Objective) -> str:
    """`val_loss (lower is better)`"""
    better = "lower" if objective.direction == "minimize" else "higher"
    return f"{objective.metric} ({better} is better)"


def value_scale(low: float, high: float, objective: Objective) -> alt.Scale:
    """An axis between these: logarithmic for a loss above 0 that spans much.

    What lies beyond its ends is drawn at them.
    """
    logarithmic = objective.direction == "minimize" and low > 0 and high > LOG_FACTOR * low
    kind: Literal["log", "linear"] = "log" if logarithmic else "linear"
    return alt.Scale(type=kind, domain=[low, high], clamp=True, nice=False)


def values_between(best: float, worst: float, objective: Objective) -> alt.Scale:
    """An axis that has room beyond these losses. What is worse is drawn at its end."""
    if best > 0 and worst > LOG_FACTOR * best:
        low, high = best / (worst / best) ** ROOM, worst * (worst / best) ** ROOM
    else:
        room = ROOM * ((worst - best) or abs(best) or 1.0)
        low, high = best - room, worst + room
    ends = sorted((objective.loss(low), objective.loss(high)))
    return value_scale(ends[0], ends[1], objective)


def lr_axis(field: str, title: Title | None, ends: tuple[float, float] | None = None) -> alt.X:
    """A log axis of learning rates between `ends`; without labels where there is no title."""
    words = [*title] if isinstance(title, tuple) else title
    scale = alt.Scale(type="log", nice=False, padding=8)
    if ends is not None:
        scale = alt.Scale(type="log", nice=False, domain=list(ends))
    return alt.X(
        field,
        type="quantitative",
        title=words,
        scale=scale,
        axis=alt.Axis(format="~e", tickCount=5, grid=False, labels=title is not None),
    )


def trial_colour(labels: Sequence[str]) -> alt.Color:
    """A colour for each of a few trials, by label."""
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(labels))]
    scale = alt.Scale(domain=list(labels), range=colours)
    return alt.Color("label", type="nominal", scale=scale, title="trial")


def trial_dash(labels: Sequence[str]) -> alt.StrokeDash:
    """A dash for each; with the colour it tells 30 trials apart."""
    dashes = [DASHES[i % len(DASHES)] for i in range(len(labels))]
    scale = alt.Scale(domain=list(labels), range=dashes)
    return alt.StrokeDash("label", type="nominal", scale=scale, title="trial")
