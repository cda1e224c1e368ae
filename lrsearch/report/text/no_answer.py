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
        return f"No trial has ended yet; in training: {len(counted_trials)}."
    if all(trial.state == TrialState.DIVERGED for trial in ended):
        return _all_diverged(report, ended)
    if all(trial.state == TrialState.FAILED for trial in ended):
        return _all_failed(ended)
    states = Counter(trial.state for trial in ended)
    how = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return f"No trial was trained to its end: {how}."


def _all_failed(ended: Sequence[Trial]) -> str:
    [(reason, count)] = Counter(trial.reason for trial in ended).most_common(1)
    share = "each" if count == len(ended) else f"{count} of them"
    return f"All {counted(len(ended), 'ended trial')} failed, {share} with: {reason}"


def _all_diverged(report: Report, ended: Sequence[Trial]) -> str:
    count = counted(len(ended), "ended trial")
    at_start = [trial for trial in ended if trial.reason == NOT_FINITE_AT_START]
    if at_start:
        which = "" if len(at_start) == len(ended) else f" in {len(at_start)} of them"
        return (
            f"All {count} diverged:{which} the loss was not finite on the first batch, before any "
            f"step. That is not the learning rate; look for NaN or infinity in the inputs, the "
            f"targets and the model's output."
        )
    lowest = _lowest_rates(ended)
    edges = {
        test.optimizer: test.parsed.edge.median
        for test in report.range_tests
        if test.parsed is not None and test.parsed.edge is not None and test.optimizer in lowest
    }
    if not edges:
        rates = ", ".join(f"{learning_rate(lr)} ({in_words(name)})" for name, lr in lowest.items())
        return (
            f"All {count} diverged, the lowest learning rates among them {rates}. Lower the "
            f"learning rates of the space{_range_test_hint(report)}."
        )
    shown = ", ".join(f"{learning_rate(edge)} for {name}" for name, edge in edges.items())
    if all(lowest[name] >= edge for name, edge in edges.items()):
        return (
            f"All {count} diverged: learning rate too high for every trial: the range test's edge "
            f"is {shown}. Lower the learning rates of the space below it."
        )
    return (
        f"All {count} diverged, also below the range test's edge ({shown}). The learning rate "
        f"alone does not explain it; look at the loss, the other fields of the space and later "
        f"batches."
    )


def _range_test_hint(report: Report) -> str:
    """How to find where training explodes; a command has no range test."""
    if report.spec.program == "command":
        return ""
    return "; `lrsearch range-test FILE` shows where training explodes"


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
    of = "" if total is None else f" of {total}"
    return [
        f"The search ended because every recipe of the space has its trial ({used}{of} trials). "
        f"To search more, widen the space: `lrsearch study extend {report.name} FILE`; fresh seeds "
        f"of the best recipes: `lrsearch confirm {report.name}`"
    ]
