"""What a study's answer comes to, in one word."""

from enum import StrEnum

from lrsearch.confirmation import statistics
from lrsearch.confirmation.runs import BASELINE, REPORT
from lrsearch.report.answer.gain import Gain, recommended_trial, reference
from lrsearch.report.model import Report
from lrsearch.trial.divergence import NOT_FINITE_AT_START
from lrsearch.trial.states import MACHINE, TrialState


class Verdict(StrEnum):
    """The first four compare on at least two fresh seeds."""

    BETTER = "better"  #: the recipe is better than the reference
    NO_BETTER = "no_better"  #: these seeds do not show that it is
    WORSE = "worse"  #: it is worse, and the reference was not recommended for its failed runs
    KEEP_BASELINE = "keep_baseline"  #: the baseline is the recommended recipe
    PORTFOLIO = "portfolio"  #: without a baseline, the portfolio's first recipe is recommended
    ONE_SEED = "one_seed"  #: confirmed, but one seed alone compares it, or none
    BASELINE_WITHOUT_VALUE = "baseline_without_value"  #: it diverged, failed or has not ended
    NO_REFERENCE = "no_reference"  #: no baseline, and no recipe of the portfolio has a value
    UNCONFIRMED = "unconfirmed"  #: the search is over, its best has no run with a fresh seed
    RUNNING = "running"  #: a recipe so far; the study is still to end
    # Without a recipe:
    NOT_STARTED = "not_started"  #: no trial has begun
    NONE_ENDED = "none_ended"  #: trials run, and none has ended
    NONE_COMPLETE = "none_complete"  #: trials ended, none was trained to its end
    ALL_DIVERGED = "all_diverged"
    NOT_FINITE = "not_finite"  #: all diverged, the loss of some before the first step
    ALL_FAILED = "all_failed"


def verdict_of(report: Report, gain: Gain | None) -> Verdict:
    """What the report's answer comes to; `gain` is that of `gain_of`."""
    if report.recommended is None:
        return _without_recipe(report)
    winner = report.winner
    if winner is None:
        return Verdict.UNCONFIRMED if report.state == "finished" else Verdict.RUNNING
    against = reference(report)
    if against is not None and against.number == recommended_trial(report):
        return Verdict.KEEP_BASELINE if against.kind == "baseline" else Verdict.PORTFOLIO
    if report.spec.baseline is not None and baseline_has_no_value(report):
        return Verdict.BASELINE_WITHOUT_VALUE
    if winner.n == 1 or (gain is not None and gain.n == 1):
        return Verdict.ONE_SEED
    if gain is None:
        return Verdict.NO_REFERENCE if against is None else Verdict.ONE_SEED
    found = statistics.verdict(gain.losses, report.spec.tolerance)
    return {"better": Verdict.BETTER, "tied": Verdict.NO_BETTER, "worse": Verdict.WORSE}[found]


def baseline_has_no_value(report: Report) -> bool:
    """Whether the user's own recipe cannot be compared: no value in the search, or with seeds."""
    if report.confirmed_baseline is not None:
        return False
    lost = any(run.role == BASELINE and run.round == REPORT for run in report.runs)
    return report.baseline is None or not report.baseline.is_scored or lost


def _without_recipe(report: Report) -> Verdict:
    counted = [trial for trial in report.trials if trial.kind != MACHINE]
    ended = [trial for trial in counted if trial.has_ended]
    if not counted:
        return Verdict.NOT_STARTED
    if not ended:
        return Verdict.NONE_ENDED
    if all(trial.state == TrialState.FAILED for trial in ended):
        return Verdict.ALL_FAILED
    if any(trial.state != TrialState.DIVERGED for trial in ended):
        return Verdict.NONE_COMPLETE
    at_start = any(trial.reason == NOT_FINITE_AT_START for trial in ended)
    return Verdict.NOT_FINITE if at_start else Verdict.ALL_DIVERGED
