"""Value against learning rate as a chart: panels side by side, each over a strip of its risk."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
from altair.utils.schemapi import debug_mode

from lrsearch.report.colours import BLUE, GREEN, GREY, ORANGE, PINK, RED
from lrsearch.report.figures import looks
from lrsearch.report.figures.data.basins import LrPanel
from lrsearch.report.figures.figure import OPTIMIZER, SCHEDULE, TRIAL
from lrsearch.report.figures.looks import (
    PANEL_HEIGHT,
    PANEL_WIDTH,
    PANELS_PER_ROW,
    data,
)
from lrsearch.report.figures.lr_marks import (
    Axis,
    Line,
    Point,
    axis_of,
    bands_of,
    ends_of,
    points_of,
    widths_of,
)
from lrsearch.report.model import Report
from lrsearch.spec.parts import Objective
from lrsearch.trial.states import TrialState

#: Height of the strip that shows how likely a trial diverges, in pixels.
RISK_HEIGHT = 45
#: Trials of a panel above which their marks are small.
MANY = 250
#: What pointing at a trial shows, after the learning rate that its recipe has.
OF_TRIAL = (f"{TRIAL}:Q", "state", OPTIMIZER, SCHEDULE, "value")
OWN_LR = "lr to copy"
#: Thickness of the bars at +1 % and at +5 %, in pixels.
BARS = (6, 3)
SHOWN = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED)
LR = "learning rate (peak)"
EQUIVALENT = ("learning rate converted to", "momentum 0.9, batch 64: not to copy")
X, X2, Y, LOW, HIGH, WHAT, STATE = "x", "x2", "y", "low", "high", "what", "state"


class Panels(alt.TopLevelMixin, alt.TopLevelConcatSpec):
    """A `ConcatChart` of parts that are not copied.

    Altair's `layer`, `vconcat` and `concat` each copy all that is below them, which took a third of
    the CPU time of a report of 60 trials. Vega-Lite's own types for the same parts do not.
    """


def chart(panels: Sequence[LrPanel], report: Report, *, titles: Sequence[str]) -> Panels:
    """A panel for each, which share their axis of values."""
    axis = axis_of(panels, report.spec.objective)
    there = {trial.state for panel in panels for trial in panel.trials}
    sheet = Sheet(
        axis=axis,
        objective=report.spec.objective,
        states=tuple(state for state in SHOWN if state in there),
        most=looks.MOST_POINTS // len(panels),
        recommended=report.recommended_trial,
        baseline=None if report.baseline is None else report.baseline.number,
        width=PANEL_WIDTH if len(panels) > 1 else 2 * PANEL_WIDTH,
    )
    with debug_mode(False):  # these types would check, at each level, all that is below
        drawn = [_panel(panel, sheet, title) for panel, title in zip(panels, titles, strict=True)]
        return Panels(concat=drawn, columns=PANELS_PER_ROW)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What the panels of a figure share."""

    axis: Axis
    objective: Objective
    #: Those that a trial of some panel has.
    states: tuple[TrialState, ...]
    #: Trials that a panel may draw.
    most: int
    #: Of a panel, in pixels.
    width: int
    #: The recommended trial and the baseline, by number; None if there is none.
    recommended: int | None
    baseline: int | None

    @property
    def ringed(self) -> tuple[int | None, ...]:
        return (self.baseline, self.recommended)


def _panel(panel: LrPanel, sheet: Sheet, title: str) -> alt.VConcatSpecGenericSpec:
    lr = EQUIVALENT if panel.equivalent else LR
    at = looks.lr_axis(X, None if panel.diverges else lr, ends_of(panel))
    points = points_of(panel, sheet.axis, sheet.most, sheet.ringed)
    layers = [
        *_edges(panel),
        _trials([point for point in points if not point.beyond], sheet),
        *_beyond(points, sheet),
        *_curve(panel, sheet),
        *_rings(points, sheet),
    ]
    values = alt.LayerSpec(layer=layers, encoding={"x": at}, width=sheet.width, height=PANEL_HEIGHT)
    below = [_risk(panel, lr, sheet.width)] if panel.diverges else []
    shared = alt.Resolve(scale=alt.ScaleResolveMap(x="shared"))  # they are moved together
    return alt.VConcatSpecGenericSpec(
        vconcat=[values, *below], spacing=4, title=title, resolve=shared
    )


def _value_axis(sheet: Sheet, field: str = Y) -> alt.Y:
    low, high = sorted((sheet.axis.better, sheet.axis.end))
    return alt.Y(
        field,
        type="quantitative",
        title=looks.value_title(sheet.objective) if sheet.axis.known else "no value",
        scale=alt.Scale(
            type="log" if sheet.axis.logarithmic else "linear",
            domain=[low, high],
            clamp=True,
            nice=False,
        ),
        axis=alt.Axis(labels=sheet.axis.known, ticks=sheet.axis.known),
    )


def _edges(panel: LrPanel) -> list[alt.Chart]:
    """The window as a faint area, the ends of the range as dashed rules."""
    drawn = []
    window = sorted(edge.at for edge in panel.edges if edge.kind == "window")
    if window:
        rows = [Line(x=window[0], x2=window[1], what="window of the range test")]
        mark = alt.Chart(data(rows)).mark_rect(color=GREEN, opacity=0.1)
        drawn.append(
            mark.encode(
                alt.X(X, type="quantitative"), x2=alt.X2(X2), tooltip=looks.tips(f"{WHAT}:N")
            )
        )
    ends = [edge.at for edge in panel.edges if edge.kind == "range"]
    if ends:
        rows = [Line(x=end, what="end of the searched range") for end in ends]
        mark = alt.Chart(data(rows)).mark_rule(color=GREY, strokeDash=[2, 3])
        drawn.append(
            mark.encode(alt.X(X, type="quantitative"), tooltip=looks.tips(f"{WHAT}:N", f"{X}:Q"))
        )
    return drawn


def _curve(panel: LrPanel, sheet: Sheet) -> list[alt.Chart]:
    """The basin with its band, the stretches at +1 % and +5 %, and its lowest point."""
    bands = bands_of(panel.basin, sheet.objective)
    if not bands or panel.basin is None:
        return []
    at, value = alt.X(X, type="quantitative"), _value_axis(sheet)
    base = alt.Chart(data(bands))
    tips = [f"{X}:Q", f"{Y}:Q", f"{LOW}:Q", f"{HIGH}:Q"]
    band = base.mark_area(color=BLUE, opacity=0.18).encode(
        at, _value_axis(sheet, LOW), y2=alt.Y2(HIGH), tooltip=looks.tips(*tips)
    )
    dash = [1, 0] if panel.is_sure else [6, 4]
    mark = base.mark_line(color=BLUE, strokeWidth=2, strokeDash=dash)
    line = mark.encode(at, value, tooltip=looks.tips(*tips))
    if not panel.is_sure:
        return [band, line]
    bars = [
        alt.Chart(data([width]))
        .mark_rule(color=ORANGE, strokeWidth=thick)
        .encode(at, value, x2=alt.X2(X2), tooltip=looks.tips(f"{WHAT}:N"))
        for width, thick in zip(widths_of(panel.basin, sheet.objective), BARS, strict=True)
    ]
    return [band, line, *bars]


def _trials(points: Sequence[Point], sheet: Sheet) -> alt.Chart:
    """A mark for each; smaller and fainter ones where there are many."""
    pruned = alt.datum[STATE] == TrialState.PRUNED.value
    many = len(points) > MANY
    strong, faint = (0.5, 0.3) if many else (0.95, 0.45)
    mark = alt.Chart(data(points)).mark_point(size=14 if many else 45, strokeWidth=1.5)
    drawn: alt.Chart = mark.encode(
        alt.X(X, type="quantitative"),
        _value_axis(sheet),
        looks.state_colour(STATE, sheet.states),
        looks.state_shape(STATE, sheet.states),
        looks.state_fill(STATE, sheet.states),
        fillOpacity=alt.value(strong),
        strokeOpacity=alt.condition(pruned, alt.value(faint), alt.value(strong)),
        tooltip=_of_trial("note"),
    )
    return drawn


def _of_trial(*more: str) -> list[alt.Tooltip]:
    """What pointing at a trial shows; its place may be at a converted learning rate."""
    lr = alt.Tooltip("lr", type="quantitative", format=".4~g", title=OWN_LR)
    return [lr, *looks.tips(*OF_TRIAL, *more)]


def _beyond(points: Sequence[Point], sheet: Sheet) -> list[alt.Chart]:
    """An arrow at the worse edge for each trial whose value lies beyond it."""
    arrow = looks.worse_arrow(sheet.objective)
    drawn = []
    for state in sheet.states:
        mine = [point for point in points if point.beyond and point.state == state]
        if mine:
            opacity = 0.5 if state == TrialState.PRUNED else 0.95
            mark = alt.Chart(data(mine)).mark_point(
                shape=arrow, size=80, filled=True, opacity=opacity, color=looks.STATE_COLOURS[state]
            )
            place = alt.X(X, type="quantitative")
            drawn.append(mark.encode(place, _value_axis(sheet), tooltip=_of_trial("note")))
    return drawn


def _rings(points: Sequence[Point], sheet: Sheet) -> list[alt.Chart]:
    """Around the recommended trial and the baseline."""
    drawn = []
    for number, colour in ((sheet.baseline, PINK), (sheet.recommended, GREEN)):
        mine = [point for point in points if point.trial == number]
        if mine:
            ring = alt.Chart(data(mine)).mark_point(size=190, strokeWidth=2.5, color=colour)
            place = alt.X(X, type="quantitative")
            drawn.append(ring.encode(place, _value_axis(sheet), tooltip=_of_trial()))
    return drawn


def _risk(panel: LrPanel, title: looks.Title, width: int) -> alt.LayerSpec:
    assert panel.divergence is not None
    base = alt.Chart(data(panel.divergence.curve))
    top = alt.Scale(domain=[0, 1])
    ticks = alt.Axis(format="%", values=[0, 0.5, 1], grid=True)
    place = looks.lr_axis("lr", title, ends_of(panel))
    tips = ["lr:Q", "share:Q", f"{LOW}:Q", f"{HIGH}:Q"]
    band = base.mark_area(color=RED, opacity=0.18, clip=True).encode(
        place,
        alt.Y(LOW, type="quantitative", scale=top, axis=ticks, title="diverges"),
        y2=alt.Y2(HIGH),
    )
    line = base.mark_line(color=RED, strokeWidth=2, clip=True).encode(
        place,
        alt.Y("share", type="quantitative", scale=top, title="diverges"),
        tooltip=looks.tips(*tips),
    )
    return alt.LayerSpec(layer=[band, line], width=width, height=RISK_HEIGHT)
