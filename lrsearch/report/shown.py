"""Which trials are drawn one by one."""

from collections.abc import Collection

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


def shown_words(report: Report, numbers: Collection[int]) -> str:
    """Which of these trials are drawn, by what they are: `the best 5 complete trials`."""
    best = [trial for trial in report.ranked[:TOP_CURVES] if trial.number in numbers]
    base = report.baseline
    told = {trial.number for trial in best} | {None if base is None else base.number}
    confirmed = {entry.trial for entry in report.confirmed}
    more = [number for number in numbers if number in confirmed - told]
    parts = []
    if best:
        plural = f"{len(best)} complete trials" if len(best) > 1 else "complete trial"
        parts.append(f"the best {plural}")
    if more:
        names = ", ".join(map(str, more))
        parts.append(f"trial{'' if len(more) == 1 else 's'} {names} of the confirmation")
    if base is not None and base.number in numbers:
        parts.append(f"your baseline, trial {base.number}")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def faint_trials(report: Report) -> tuple[Trial, ...]:
    """A few of the pruned ones, evenly spread over the search."""
    pruned = [trial for trial in report.trials if trial.state == TrialState.PRUNED]
    step = max(1, -(-len(pruned) // FAINT_CURVES))
    return tuple(pruned[::step])
