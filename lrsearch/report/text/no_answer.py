"""Why a study has no answer: what its trials have in common, and what to do about it."""

from collections import Counter
from collections.abc import Sequence

from lrsearch.catalog.script import in_words
from lrsearch.report.model import Report
from lrsearch.report.rows import Trial
from lrsearch.report.text.format import counted, learning_rate
from lrsearch.trial.divergence import NOT_FINITE_AT_START
from lrsearch.trial.states import MACHINE, TrialState


def why_none(report: Report) -> str:
    """One or two sentences."""
    counted_trials = [trial for trial in report.trials if trial.kind != MACHINE]
    ended = [trial for trial in counted_trials if trial.has_ended]
    if not counted_trials:
        return "No trial has started yet."
    if not ended:
        count = len(counted_trials)
        return f"No trial has ended yet; {count} {'is' if count == 1 else 'are'} in training."
    if all(trial.state == TrialState.DIVERGED for trial in ended):
        return _all_diverged(report, ended)
    if all(trial.state == TrialState.FAILED for trial in ended):
        return _all_failed(ended)
    states = Counter(trial.state for trial in ended)
    how = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return f"No trial was trained to its end: {how}."


def _all_failed(ended: Sequence[Trial]) -> str:
    [(reason, count)] = Counter(trial.reason for trial in ended).most_common(1)
    if len(ended) == 1:
        return f"The one ended trial failed with: {reason}"
    share = "each" if count == len(ended) else f"{count} of them"
    return f"{_all(ended)} failed, {share} with: {reason}"


def _all(ended: Sequence[Trial]) -> str:
    return "The one ended trial" if len(ended) == 1 else f"All {len(ended)} ended trials"


def _all_diverged(report: Report, ended: Sequence[Trial]) -> str:
    diverged = f"{_all(ended)} diverged"
    at_start = [trial for trial in ended if trial.reason == NOT_FINITE_AT_START]
    if at_start:
        which = "" if len(at_start) == len(ended) else f" in {len(at_start)} of them"
        return (
            f"{diverged}:{which} the loss was not finite on the first batch, before any step. The "
            f"learning rate is not the cause; look for NaN or infinity in the inputs, the targets "
            f"and the model's output."
        )
    lowest = _lowest_rates(ended)
    edges = {
        test.optimizer: test.parsed.edge.median
        for test in report.range_tests
        if test.parsed is not None and test.parsed.edge is not None and test.optimizer in lowest
    }
    if not edges:
        rates = " and ".join(f"{learning_rate(lr)} ({in_words(n)})" for n, lr in lowest.items())
        were = "rate that was tried is" if len(lowest) == 1 else "rates that were tried are"
        return f"{diverged}. The lowest learning {were} {rates}. Search lower ones."
    shown = " and ".join(f"{learning_rate(edge)} of {name}" for name, edge in edges.items())
    if all(lowest[name] >= edge for name, edge in edges.items()):
        return (
            f"{diverged}: the learning rates of the space are too high. In the range test "
            f"training explodes from {shown} on, and no trial had a lower one."
        )
    return (
        f"{diverged}, also below {shown}, from where on training explodes in the range test. The "
        f"learning rate alone does not explain it; look at the loss, the other fields of the space "
        f"and later batches."
    )


def _lowest_rates(ended: Sequence[Trial]) -> dict[str, float]:
    """The lowest lr that was tried, by optimizer."""
    lowest: dict[str, float] = {}
    for trial in ended:
        recipe = trial.parsed
        if recipe is not None:
            name = recipe.optimizer_name
            lowest[name] = min(recipe.lr, lowest.get(name, recipe.lr))
    return lowest


def exhausted_lines(report: Report) -> list[str]:
    """What to say of a study whose space has no more recipes."""
    if report.reason != "exhausted":
        return []
    used, total = report.study.trials_counted, report.study.trials_total
    of = "" if total is None else f" of a budget of {total}"
    return [
        f"The search ended because every recipe of the space has been tried "
        f"({counted(used, 'trial')}{of})."
    ]
