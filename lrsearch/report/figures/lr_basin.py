"""Which learning rates are safe? A panel for each optimizer."""

from collections.abc import Iterable, Sequence

from lrsearch.advice.lr_basin import LEAST_TRIALS
from lrsearch.report.figures import looks
from lrsearch.report.figures.data.basins import LEAST_COMPLETE, LrPanel, optimizer_panels
from lrsearch.report.figures.figure import Figure
from lrsearch.report.figures.lr_marks import axis_of
from lrsearch.report.figures.lr_panels import chart
from lrsearch.report.model import Report
from lrsearch.report.text.format import counted, learning_rate
from lrsearch.trial.states import TrialState

DIVERGED, FAILED = TrialState.DIVERGED, TrialState.FAILED


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
    """`adamw: 17 trials, 3 complete`"""
    complete = panel.count(TrialState.COMPLETE)
    return f"{_name(panel)}: {counted(len(panel.trials), 'trial')}, {complete} complete"


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
            yield f"{name}: a guess from {complete}, best near {learning_rate(best.value)}."
            continue
        low = f"{'below ' if safe.open_low else ''}{learning_rate(safe.low)}"
        high = f"{'above ' if safe.open_high else ''}{learning_rate(safe.high)}"
        yield (
            f"{name}: best near {learning_rate(best.value)} (95 % interval "
            f"{learning_rate(best.low)} to {learning_rate(best.high)}), at most 5 % worse from "
            f"{low} to {high}, estimated from the {panel.basin.trials} trials near it."
        )


def explained(report: Report, panels: Sequence[LrPanel]) -> Iterable[str]:
    """What the marks mean, as far as they are there."""
    trials = [trial for panel in panels for trial in panel.trials]
    states = {trial.state for trial in trials}
    if any(panel.basin for panel in panels):
        yield (
            "The blue curve is what a trial at this learning rate typically reaches, with its 95 % "
            "band; orange bars are the learning rates that are at most 1 % (thick) and 5 % worse."
        )
    if any(panel.basin and not panel.is_sure for panel in panels):
        yield f"A dashed curve has fewer than {LEAST_COMPLETE} complete trials: it is a guess."
    if TrialState.PRUNED in states:
        yield (
            "Grey triangles are no results: a pruned trial stands where trials with its loss at "
            "that point would end, and counts a quarter of a complete one."
        )
    if report.recommended_trial is not None:
        ring = "A green ring marks the recommended trial"
        yield ring + (", a pink one the baseline." if report.baseline is not None else ".")
    axis = axis_of(panels, report.spec.objective)
    at_edge = ["diverged and failed trials"] if states & {DIVERGED, FAILED} else []
    worse = sum(trial.value is not None and not axis.reaches(trial.value) for trial in trials)
    at_edge += [f"{counted(worse, 'trial')} with a worse value"] if worse else []
    if at_edge:
        yield f"At the worse edge stand {' and '.join(at_edge)}."
    if any(panel.divergence for panel in panels):
        yield "The strip below is the share of trials that diverge, with its 95 % interval."
    kinds = {edge.kind for panel in panels for edge in panel.edges}
    if "range" in kinds:
        yield "Dotted grey lines end the searched range."
    if "window" in kinds:
        yield "The green area is the window of the range test."
    if any(panel.equivalent for panel in panels):
        yield (
            "Where momentum or batch size was searched, learning rates are those with the same "
            "step at momentum 0.9 and 64 samples; pointing at a trial shows its own."
        )
    if len(trials) > looks.MOST_POINTS:
        yield f"{looks.MOST_POINTS} of {len(trials)} trials are drawn, and all are counted."
