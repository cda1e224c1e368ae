"""What to do next with a study: which step its state asks for, as a line to paste."""

from lrsearch.advice.lr_edges import RangeEdge
from lrsearch.command.template import placeholders
from lrsearch.confirmation.budget import MOST_RUNS, allowed_runs
from lrsearch.confirmation.shape import LEAST_SEEDS
from lrsearch.confirmation.statistics import LEAST_PAIRS
from lrsearch.report.answer.verdict import Verdict
from lrsearch.report.model import Report
from lrsearch.report.text.python_steps import PythonSteps, is_unnamed
from lrsearch.report.text.shell_steps import ShellSteps
from lrsearch.report.text.step import NextStep, Steps
from lrsearch.spec.one_run import is_one_run
from lrsearch.spec.study_spec import StudySpec
from lrsearch.trial.states import TrialState

#: After these a recipe stands that is worth using.
USABLE = (
    Verdict.BETTER,
    Verdict.PORTFOLIO,
    Verdict.BASELINE_WITHOUT_VALUE,
    Verdict.NO_REFERENCE,
)


def next_step(report: Report, verdict: Verdict) -> NextStep:
    """The one step that the study's state asks for.

    Python calls for a study that no command can train, as its task is an object of a Python
    process, or find, as it has no name.
    """
    is_of_python = report.spec.is_live or is_unnamed(report)
    steps = PythonSteps(report) if is_of_python else ShellSteps(report)
    mends = _mend(steps, report, verdict)
    if mends is not None:
        return mends
    if report.state != "finished":
        return _go_on(steps, report)
    if is_one_run(report.spec) and report.recommended is not None:
        return steps.use()
    if report.spec.ladder is not None and report.recommended is None:
        return steps.long_runs(report.spec.ladder)
    if any(isinstance(warned.edge, RangeEdge) for warned in report.advice.warnings):
        return steps.widen("search beyond the end of the range")
    if verdict in USABLE or _is_confirmed_alone(report, verdict):
        return steps.use()
    if report.recommended is not None and _wants_seeds(report, verdict):
        most = _most_runs(report)
        if not _takes_seeds(report.spec):
            return steps.use()
        if most >= LEAST_SEEDS and most > len(report.runs):
            return steps.confirm(most)
    if report.reason == "exhausted":
        return steps.widen("search a wider space")
    return steps.more_budget()


def _mend(steps: Steps, report: Report, verdict: Verdict) -> NextStep | None:
    """Where every trial went wrong: how to see why, or where to search instead."""
    if verdict == Verdict.NOT_FINITE:
        return steps.check()
    if verdict == Verdict.ALL_FAILED:
        return steps.failure()
    if verdict != Verdict.ALL_DIVERGED:
        return None
    tested = any(test.parsed is not None for test in report.range_tests)
    if tested or report.spec.program == "command":
        return steps.widen("search lower learning rates")
    return steps.range_test()


def _go_on(steps: Steps, report: Report) -> NextStep:
    """Of a study that is not over."""
    if report.state == "paused":
        return steps.resume()
    held = [(row.worker, row.state) for row in report.trials]
    held += [(row.worker, row.state) for row in report.runs]
    held += [(row.worker, row.state) for row in report.range_tests]
    if any(worker is not None and state == TrialState.RUNNING for worker, state in held):
        return steps.look()
    return steps.train("continue it" if report.trials else "begin the training")


def _is_confirmed_alone(report: Report, verdict: Verdict) -> bool:
    """Whether fresh seeds speak for the recipe, and nothing that the user has stands against it."""
    winner = report.winner
    is_sure = winner is not None and winner.n >= LEAST_SEEDS
    return is_sure and verdict == Verdict.ONE_SEED and report.spec.baseline is None


def _wants_seeds(report: Report, verdict: Verdict) -> bool:
    """Whether what is open is a matter of how many fresh seeds there are."""
    few = report.winner is None or report.winner.n < LEAST_PAIRS
    return few or verdict in (Verdict.UNCONFIRMED, Verdict.ONE_SEED)


def _takes_seeds(spec: StudySpec) -> bool:
    """Whether a fresh seed reaches the training; a command may have no argument for it."""
    return spec.program != "command" or bool({"seed", "recipe"} & set(placeholders(spec.command)))


def _most_runs(report: Report) -> int:
    """Full trainings that a confirmation may have, beside those that there are.

    Epochs of earlier ones do not come back.
    """
    study = report.study
    left = None
    if study.epochs_total is not None:
        left = study.epochs_total - study.epochs_used
    most = allowed_runs(
        report.spec, started=study.trials_counted, epochs_left=left, horizon=report.plan.horizon
    )
    return min(MOST_RUNS, most)
