"""Which trials are drawn one by one."""

from lrsearch.report.model import Report
from lrsearch.report.rows import Trial
from lrsearch.trial.states import TrialState

#: So many of the best trials are drawn as curves.
TOP_CURVES = 5
#: So many pruned trials are drawn, faintly.
FAINT_CURVES = 40


def shown_trials(report: Report) -> tuple[Trial, ...]:
    """The best few, what was confirmed, and the baseline if it has trained at all."""
    named = {entry.trial for entry in report.confirmed}
    shown = [
        trial for i, trial in enumerate(report.ranked) if i < TOP_CURVES or trial.number in named
    ]
    baseline = report.baseline
    if baseline is not None and baseline not in shown and baseline.recipe and baseline.epochs:
        shown.append(baseline)
    return tuple(shown)


def faint_trials(report: Report) -> tuple[Trial, ...]:
    """A few of the pruned ones, evenly spread over the search."""
    pruned = [trial for trial in report.trials if trial.state == TrialState.PRUNED]
    step = max(1, -(-len(pruned) // FAINT_CURVES))
    return tuple(pruned[::step])
