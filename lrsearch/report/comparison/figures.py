"""The figures of a comparison: each answers one question, and draws studies by colour and shape."""

from collections.abc import Iterator, Sequence

import altair as alt

from lrsearch.report.colours import COLOURS, GREY
from lrsearch.report.comparison import drawn
from lrsearch.report.comparison.comparison import Comparison
from lrsearch.report.comparison.drawn import Dot, RatePanel, Step
from lrsearch.report.figures import looks
from lrsearch.report.figures.data.basins import LEAST_COMPLETE
from lrsearch.report.figures.figure import Figure
from lrsearch.report.figures.looks import PANEL_HEIGHT, PANEL_WIDTH, PANELS_PER_ROW, data
from lrsearch.report.figures.lr_marks import Axis
from lrsearch.report.text.format import amount, counted, length_unit, number
from lrsearch.trial.states import TrialState

#: Height of a study, width of a panel and height of a plot, in pixels.
ROW, WIDTH, HEIGHT = 44, 300, 240
#: Trials of a panel above which their marks are small.
MANY = 100
STUDY = "study"


def figures(found: Comparison) -> Iterator[Figure]:
    """Those that there is something to draw for."""
    for make in (recipes, learning_rates, progress):
        figure = make(found)
        if figure is not None:
            yield figure


def recipes(found: Comparison) -> Figure | None:
    """None until a study has a run with a fresh seed."""
    means = drawn.means(found)
    if not means:
        return None
    said = "; ".join(
        f"{dot.study} {number(dot.value)} ({counted(dot.n or 0, 'run')})" for dot in means
    )
    differences = drawn.differences(found)
    right = ""
    if differences:
        right = (
            f" Right, how much better than {found.first.label}, which stands at 0, with the "
            "interval of the difference: where it reaches across 0, none of the two is shown to "
            "be better."
        )
    return Figure(
        name="recipes",
        title="Whose recipe is better?",
        caption=f"Mean {found.objective.metric} on fresh seeds: {said}. Small dots are runs, large "
        f"marks means with their 95 % intervals.{right}",
        alt=f"{found.objective.metric} of the recommended recipe of each study: {said}.",
        chart=_recipes(found, means, differences),
    )


def _recipes(
    found: Comparison, means: Sequence[Dot], differences: Sequence[Dot]
) -> alt.HConcatChart:
    height = ROW * len(found.entries)
    title = looks.value_title(found.objective)
    values = alt.layer(
        _rows(drawn.runs(found), found, labels=True)
        .mark_point(filled=True, size=26, opacity=0.55)
        .encode(_value(title)),
        *_with_intervals(means, found, title, labels=True),
    ).properties(width=WIDTH, height=height)
    if not differences:
        return alt.hconcat(values)
    title = f"better {found.objective.metric} than {found.first.label}"
    zero = alt.Chart(data([Dot(study=found.first.label, value=0.0)]))
    beside = alt.layer(
        zero.mark_rule(color=GREY, strokeDash=[4, 3]).encode(alt.X("value", type="quantitative")),
        *_with_intervals(differences, found, title, labels=False),
    ).properties(width=WIDTH, height=height)
    return alt.hconcat(values, beside)


def _rows(dots: Sequence[Dot], found: Comparison, *, labels: bool) -> alt.Chart:
    axis = alt.Axis(labelLimit=260, labels=labels, grid=True)
    scale = alt.Scale(domain=list(found.labels))
    place = alt.Y(STUDY, type="nominal", scale=scale, title=None, axis=axis)
    tips = looks.tips(f"{STUDY}:N", "seed:Q", "value:Q", "n:Q", "low:Q", "high:Q")
    return alt.Chart(data(dots)).encode(place, _colour(found, legend=False), tooltip=tips)


def _with_intervals(
    dots: Sequence[Dot], found: Comparison, title: str, *, labels: bool
) -> list[alt.Chart]:
    sure = _rows([dot for dot in dots if dot.low is not None], found, labels=labels)
    marks = _rows(dots, found, labels=labels).mark_point(filled=True, size=90, opacity=1)
    return [
        sure.mark_rule(strokeWidth=2).encode(_value(title, "low"), x2=alt.X2("high")),
        marks.encode(_value(title), _shape(found, legend=False)),
    ]


def _value(title: str, field: str = "value") -> alt.X:
    return alt.X(field, type="quantitative", title=title, scale=alt.Scale(zero=False, padding=8))


def _colour(found: Comparison, *, legend: bool = True) -> alt.Color:
    scale = _colours(found)
    if legend:
        shown = alt.Legend(title="study", symbolOpacity=1.0)  # else as faint as a band
        return alt.Color(STUDY, type="nominal", scale=scale, legend=shown)
    return alt.Color(STUDY, type="nominal", scale=scale, legend=None)


def _shape(found: Comparison, *, legend: bool = True) -> alt.Shape:
    scale = alt.Scale(domain=list(found.labels), range=_cycled(looks.SHAPES, found))
    if legend:
        shown = alt.Legend(title="study", symbolOpacity=1.0)
        return alt.Shape(STUDY, type="nominal", scale=scale, legend=shown)
    return alt.Shape(STUDY, type="nominal", scale=scale, legend=None)


def _colours(found: Comparison) -> alt.Scale:
    return alt.Scale(domain=list(found.labels), range=_cycled(COLOURS, found))


def _cycled(values: Sequence[str], found: Comparison) -> list[str]:
    return [values[place % len(values)] for place in range(len(found.entries))]


def learning_rates(found: Comparison) -> Figure | None:
    """None before a trial of some study has a value."""
    axis = drawn.value_axis(found)
    if not axis.known:
        return None
    panels = drawn.rate_panels(found, worse=axis.worse)
    names = ", ".join(dict.fromkeys(looks.short_name(panel.optimizer) for panel in panels))
    return Figure(
        name="learning_rates",
        title="Which learning rates did well in each study?",
        caption=" ".join(_explained(found, panels)),
        alt=f"{found.objective.metric} against peak learning rate, by study, a panel for each "
        f"optimizer: {names}.",
        chart=_learning_rates(found, panels, axis),
    )


def _explained(found: Comparison, panels: Sequence[RatePanel]) -> Iterator[str]:
    """What the marks mean, as far as they are there."""
    states = {point.state for panel in panels for point in panel.points}
    yield "Filled marks are complete trials, one colour and shape for each study."
    if TrialState.PRUNED in states:
        yield (
            "Hollow faint ones are no results: a pruned trial stands where trials with its loss at "
            "that point would end."
        )
    if TrialState.DIVERGED in states:
        yield "A cross is a trial that diverged; it has no value and stands at the worse edge."
    if any(panel.curves for panel in panels):
        good = "low" if found.objective.direction == "minimize" else "high"
        yield (
            "A curve is what a trial at this learning rate typically reaches, with its 95 % band; "
            f"where it is {good} and flat the learning rate is safe. It takes {LEAST_COMPLETE} "
            "complete trials of the study."
        )
    left_out = sum(panel.left_out for panel in panels)
    if left_out:
        yield f"{left_out} more trials are counted, and not drawn."
    if any(panel.equivalent for panel in panels):
        yield (
            "Where momentum or batch size was searched, learning rates are those with the same "
            "step at momentum 0.9 and 64 samples."
        )


def _learning_rates(found: Comparison, panels: Sequence[RatePanel], axis: Axis) -> alt.ConcatChart:
    joined: alt.ConcatChart = alt.concat(
        *(_rate_panel(found, panel, axis) for panel in panels), columns=PANELS_PER_ROW
    )
    return joined


def _rate_panel(found: Comparison, panel: RatePanel, axis: Axis) -> alt.LayerChart | alt.FacetChart:
    low, high = sorted((axis.better, axis.worse))
    scale = looks.value_scale(low, high, found.objective)
    title = "learning rate at momentum 0.9, batch 64" if panel.equivalent else "learning rate"
    at = looks.lr_axis("x", title, (panel.ends[0] / 1.2, panel.ends[1] * 1.2))
    value = alt.Y("y", type="quantitative", title=looks.value_title(found.objective), scale=scale)
    layers = [*_marks(panel, found, value), *_curves(panel, found, value, scale)]
    layered = alt.layer(*layers).encode(x=at)
    name = looks.short_name(panel.optimizer)
    return layered.properties(width=PANEL_WIDTH, height=PANEL_HEIGHT, title=name)


def _marks(panel: RatePanel, found: Comparison, value: alt.Y) -> list[alt.Chart]:
    """Complete, pruned and diverged trials."""
    tips = [
        alt.Tooltip("study", type="nominal"),
        alt.Tooltip("number", type="quantitative", title="trial"),
        *looks.tips("optimizer", "schedule", "state", "lr:Q", "value:Q"),
    ]

    def of(state: TrialState) -> alt.Chart:
        rows = [point for point in panel.points if point.state == state]
        at = alt.X("x", type="quantitative")
        return alt.Chart(data(rows)).encode(at, value, _colour(found), tooltip=tips)

    size, opacity = (16, 0.4) if len(panel.points) > MANY else (55, 0.9)
    diverged = of(TrialState.DIVERGED).mark_point(size=30, strokeWidth=1.5, shape=looks.X_MARK)
    pruned = of(TrialState.PRUNED).mark_point(size=size / 2, strokeWidth=1, opacity=opacity / 2)
    complete = of(TrialState.COMPLETE).mark_point(size=size, filled=True, opacity=opacity)
    return [diverged, pruned.encode(_shape(found)), complete.encode(_shape(found))]


def _curves(panel: RatePanel, found: Comparison, value: alt.Y, scale: alt.Scale) -> list[alt.Chart]:
    if not panel.curves:
        return []
    base = alt.Chart(data(panel.curves)).encode(alt.X("x", type="quantitative"), _colour(found))
    band = base.mark_area(opacity=0.15).encode(
        alt.Y("low", type="quantitative", scale=scale), y2=alt.Y2("high")
    )
    tips = looks.tips("study:N", "x:Q", "y:Q", "low:Q", "high:Q")
    return [band, base.mark_line(strokeWidth=2).encode(value, tooltip=tips)]


def progress(found: Comparison) -> Figure | None:
    """None before a trial of some study is complete."""
    steps = drawn.progress(found)
    if not steps:
        return None
    unit = " or ".join(dict.fromkeys(length_unit(entry.report.spec) for entry in found.entries))
    last = {step.study: step for step in steps}
    said = "; ".join(
        f"{name} {number(step.best)} after {amount(step.epochs)} {unit}"
        for name, step in last.items()
    )
    return Figure(
        name="progress",
        title="What did each search find for its cost?",
        caption=f"The best complete trial so far against the {unit} that all trials had trained, "
        f"those that were stopped included: {said}. Values are of one seed each, and the best of "
        "many looks better than it is: fresh seeds decide.",
        alt=f"Best {found.objective.metric} so far against {unit} trained, by study: {said}.",
        chart=_progress(found, steps, unit),
    )


def _progress(found: Comparison, steps: Sequence[Step], unit: str) -> alt.Chart:
    first, most = (end(step.epochs for step in steps) for end in (min, max))
    many = most > looks.LOG_FACTOR * first > 0
    scale = alt.Scale(type="log", nice=False) if many else alt.Scale(zero=False)
    tips = [
        *looks.tips("study:N", "epochs:Q", "best:Q"),
        alt.Tooltip("number", type="quantitative", title="trial"),
    ]
    line = alt.Chart(data(steps)).mark_line(
        interpolate="step-after", strokeWidth=2, point=alt.OverlayMarkDef(size=40, filled=True)
    )
    drawn_line: alt.Chart = line.encode(
        alt.X(
            "epochs",
            type="quantitative",
            title=f"{unit} of search trials so far",
            scale=scale,
            axis=alt.Axis(format="~g", tickCount=8),
        ),
        alt.Y(
            "best",
            type="quantitative",
            title=f"best {looks.value_title(found.objective)}",
            scale=alt.Scale(zero=False, padding=10, nice=False),
        ),
        _colour(found),
        tooltip=tips,
    )
    return drawn_line.properties(height=HEIGHT)
