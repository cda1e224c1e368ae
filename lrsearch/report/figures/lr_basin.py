"""Which learning rates are safe? A panel for each optimizer."""

from collections.abc import Collection, Iterable, Sequence

from lrsearch.advice.lr_basin import LEAST_TRIALS
from lrsearch.report.figures import looks
from lrsearch.report.figures.data.basins import LEAST_COMPLETE, LrPanel, optimizer_panels
from lrsearch.report.figures.figure import Figure
from lrsearch.report.figures.lr_marks import axis_of
from lrsearch.report.figures.lr_panels import chart
from lrsearch.report.model import Report
from lrsearch.report.text.format import counted, learning_rate, percent
from lrsearch.trial.states import TrialState

DIVERGED, FAILED = TrialState.DIVERGED, TrialState.FAILED
#: Of panels whose recipes differ in momentum or batch size.
CONVERTED = (
    "Do not copy learning rates from an axis that is \u201cconverted\u201d: momentum or batch size "
    "differ among its trials, so each stands at the rate that makes as large a step at momentum "
    "0.9 and batch size 64; pointing at a trial shows its own, the one to copy."
)
#: More panels without a diverged trial are not named.
MOST_CALM = 4


def figure(report: Report) -> Figure | None:
    """None before any trial has ended."""
    panels = optimizer_panels(report)
    if not panels:
        return None
    answers = list(sentences(panels))
    names = ", ".join(looks.short_name(panel.optimizer) for panel in panels)
    return Figure(
        name="lr_basin",
        title="Which learning rates are safe?",
        caption=" ".join([*answers, *explained(report, panels)]),
        alt=f"{report.metric} against peak learning rate, a panel for each optimizer: {names}. "
        + " ".join(answers),
        chart=chart(panels, report, titles=[title(panel) for panel in panels]),
    )


def title(panel: LrPanel) -> str:
    """`adamw: 17 trials, 3 complete`; `adamw: 12 complete trials` where all are."""
    complete, count = panel.count(TrialState.COMPLETE), len(panel.trials)
    if complete == count:
        return f"{_name(panel)}: {counted(count, 'complete trial')}"
    return f"{_name(panel)}: {counted(count, 'trial')}, {complete or 'none'} complete"


def _name(panel: LrPanel) -> str:
    name = looks.short_name(panel.optimizer)
    return name if panel.schedule is None else f"{name}, {panel.schedule}"


def sentences(panels: Sequence[LrPanel]) -> Iterable[str]:
    """The best learning rate of each panel and how far one may go from it."""
    for panel in panels:
        name = _name(panel)
        if panel.count(TrialState.DIVERGED) == len(panel.trials):
            yield f"{name}: all of {counted(len(panel.trials), 'trial')} diverged."
            continue
        if panel.basin is None:
            known = sum(trial.value is not None for trial in panel.trials)
            yield f"{name}: {known} of at least {LEAST_TRIALS} trials with a value, so no curve."
            continue
        best, safe = panel.basin.best, panel.basin.safe[1]
        if not panel.is_sure:
            complete = counted(panel.count(TrialState.COMPLETE), "complete trial")
            near = learning_rate(best.value)
            yield f"{name}: a guess from {complete}, best near {near}{_unit(panel)}."
            continue
        low = f"{'below ' if safe.open_low else ''}{learning_rate(safe.low)}"
        high = f"{'above ' if safe.open_high else ''}{learning_rate(safe.high)}"
        yield (
            f"{name}: best near {learning_rate(best.value)} (95 % interval "
            f"{learning_rate(best.low)} to {learning_rate(best.high)}), at most 5 % worse from "
            f"{low} to {high}{_unit(panel)}, estimated from the {panel.basin.trials} trials near "
            "it."
        )


def _unit(panel: LrPanel) -> str:
    """What the learning rates of a panel are, where they are not those of recipes."""
    return " when converted to momentum 0.9 and batch size 64" if panel.equivalent else ""


def _rings(report: Report, drawn: Collection[int]) -> Iterable[str]:
    """Around the trials that are there."""
    if report.recommended_trial in drawn:
        yield f"A green ring marks trial {report.recommended_trial}, the recommended one."
    if report.baseline is not None and report.baseline.number in drawn:
        yield f"A pink ring marks trial {report.baseline.number}, your baseline."


def _at_edge(panels: Sequence[LrPanel], report: Report) -> Iterable[str]:
    """What stands at the worse edge, whatever its value."""
    trials = [trial for panel in panels for trial in panel.trials]
    states = {trial.state for trial in trials}
    edge, axis = looks.worse_edge(report.spec.objective), axis_of(panels, report.spec.objective)
    signs = {DIVERGED: "crosses are diverged trials", FAILED: "squares are failed trials"}
    found = [words for state, words in signs.items() if state in states]
    worse = sum(trial.value is not None and not axis.reaches(trial.value) for trial in trials)
    if worse:
        are = "arrows are" if worse > 1 else "the arrow is"
        many = counted(worse, "trial") if worse > 1 else "a trial"
        found.append(f"{are} {many} with a worse value than the axis reaches")
    if found:
        yield f"At the {edge} edge {', '.join(found)}."
    if worse:
        yield "Pointing at an arrow tells its value."


def _divergence(panels: Sequence[LrPanel]) -> Iterable[str]:
    """The strip where trials diverged; elsewhere how many would at most."""
    if any(panel.diverges for panel in panels):
        yield (
            "The strip below a panel is the share of trials that diverge at a learning rate, with "
            "its 95 % interval."
        )
    calm = [panel for panel in panels if not panel.count(TrialState.DIVERGED)]
    if calm and len(calm) <= MOST_CALM:
        named = "; ".join(_name(panel) + _most(panel) for panel in calm)
        yield f"No trial has diverged with {named}."
    elif calm:
        yield f"In {len(calm)} panels without a strip no trial diverged."


def _most(panel: LrPanel) -> str:
    """` (at most 26 % do, at 95 %)`; nothing of few trials.

    That share of trials lets so many in a row end well in 5 % of studies: it is the upper end of
    Clopper and Pearson's interval (1934) for no event, over the learning rates that were tried.
    """
    ended = len(panel.trials) - panel.count(TrialState.FAILED)
    if ended < LEAST_TRIALS:
        return ""
    return f" (at most {percent(1 - 0.05 ** (1 / ended))} % do, at 95 %)"


def explained(report: Report, panels: Sequence[LrPanel]) -> Iterable[str]:
    """What the marks mean, as far as they are there."""
    trials = [trial for panel in panels for trial in panel.trials]
    states = {trial.state for trial in trials}
    if any(panel.equivalent for panel in panels):
        yield CONVERTED
    if any(panel.basin for panel in panels):
        yield (
            "The blue curve is what a trial at this learning rate typically reaches, with its 95 % "
            "band."
        )
    if any(panel.is_sure for panel in panels):
        yield "Orange bars are the learning rates that are at most 1 % (thick) and 5 % worse."
    if any(panel.basin and not panel.is_sure for panel in panels):
        yield f"A dashed curve has fewer than {LEAST_COMPLETE} complete trials: it is a guess."
    if TrialState.COMPLETE in states:
        yield "Blue dots are complete trials."
    if TrialState.PRUNED in states:
        yield (
            "Grey triangles are no results: a pruned trial stands where trials with its loss at "
            "that point would end, and counts a quarter of a complete one."
        )
    yield from _rings(report, {trial.trial for trial in trials})
    yield from _at_edge(panels, report)
    yield from _divergence(panels)
    kinds = {edge.kind for panel in panels for edge in panel.edges}
    if "range" in kinds:
        yield "Dotted grey lines end the searched range."
    if "window" in kinds:
        yield "The green area is the window of the range test, which most trials are drawn from."
    if len(trials) > looks.MOST_POINTS:
        yield f"{looks.MOST_POINTS} of {len(trials)} trials are drawn, and all are counted."
