"""What to do next with a study, as a command to paste. FILE stands for its study file."""

from dataclasses import dataclass

from lrsearch.advice.lr_edges import RangeEdge
from lrsearch.command.template import placeholders
from lrsearch.confirmation.budget import MOST_RUNS, allowed_runs
from lrsearch.confirmation.shape import LEAST_SEEDS
from lrsearch.confirmation.statistics import LEAST_PAIRS
from lrsearch.report.answer.verdict import Verdict
from lrsearch.report.model import Report
from lrsearch.spec.command_line import command_line
from lrsearch.spec.study_spec import StudySpec
from lrsearch.trial import states
from lrsearch.trial.states import TrialState

#: After these a recipe stands that is worth using.
USABLE = (
    Verdict.BETTER,
    Verdict.TEXTBOOK,
    Verdict.BASELINE_WITHOUT_VALUE,
    Verdict.NO_REFERENCE,
)


@dataclass(frozen=True, kw_only=True)
class NextStep:
    #: The end of `Next, to ...`.
    why: str
    #: Lines of a shell.
    command: str

    @property
    def sentence(self) -> str:
        return f"Next, to {self.why}: {self.command}"


def next_step(report: Report, verdict: Verdict) -> NextStep:
    """The one step that the study's state asks for."""
    mends = _mend(report, verdict)
    if mends is not None:
        return mends
    if report.state != "finished":
        return _go_on(report)
    if any(isinstance(warned.edge, RangeEdge) for warned in report.advice.warnings):
        return _extend(report, "search beyond the end of the range, with the line above in FILE")
    if verdict in USABLE or _is_confirmed_alone(report, verdict):
        return _use(report)
    if report.recommended is not None and _wants_seeds(report, verdict):
        most = _most_runs(report)
        if not _takes_seeds(report.spec):
            return _use(report)
        if most >= LEAST_SEEDS and most > len(report.runs):
            command = f"lrsearch confirm {report.name} --runs {most}"
            return NextStep(why="compare on more fresh seeds", command=command)
    if report.reason == "exhausted":
        return _extend(report, "search a wider space, written in FILE")
    return _more_budget(report)


def _mend(report: Report, verdict: Verdict) -> NextStep | None:
    """Where every trial went wrong: how to see why, or where to search instead."""
    name, program = report.name, report.spec.program
    if verdict == Verdict.NOT_FINITE:
        return NextStep(why="train one batch and see its loss", command="lrsearch check FILE")
    if verdict == Verdict.ALL_FAILED:
        failed = [t.number for t in report.trials if t.state == TrialState.FAILED]
        number = next((number for number in failed if number is not None), None)
        if number is None:
            return NextStep(why="see the workers' last notes", command=f"lrsearch status {name}")
        word = "show" if program == "task" else "log"
        return NextStep(why="see how one failed", command=f"lrsearch trial {word} {name} {number}")
    if verdict != Verdict.ALL_DIVERGED:
        return None
    tested = any(test.parsed is not None for test in report.range_tests)
    if program == "command" or tested:
        return _extend(report, "search lower learning rates, written in FILE")
    return NextStep(why="see where training explodes", command="lrsearch range-test FILE")


def _go_on(report: Report) -> NextStep:
    """Of a study that is not over."""
    name = report.name
    if report.state == "paused":
        return NextStep(why="let the study go on", command=f"lrsearch study resume {name}")
    held = [(row.worker, row.state) for row in report.trials]
    held += [(row.worker, row.state) for row in report.runs]
    held += [(row.worker, row.state) for row in report.range_tests]
    if any(worker is not None and state in states.OPEN for worker, state in held):
        return NextStep(why="see who trains what", command=f"lrsearch status {name}")
    why = "go on with it" if report.trials else "train it"
    return NextStep(why=why, command=f"lrsearch worker {name}")


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
    """Full trainings that `lrsearch confirm` may have, beside those that there are.

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


def _use(report: Report) -> NextStep:
    """The recommended recipe in the user's own training."""
    recipe, name = report.recommended, report.name
    command = None if recipe is None else command_line(report.spec, recipe)
    if command is None:
        code = f"lrsearch export {name} --format torch --out best.py"
        return NextStep(why="write this recipe as PyTorch code", command=code)
    if report.spec.program == "train" or "recipe" in placeholders(report.spec.command):
        line = f"lrsearch export {name} --format command"
        return NextStep(why="see the command that trains this recipe", command=line)
    return NextStep(why="train your script with this recipe", command=command)


def _extend(report: Report, why: str) -> NextStep:
    return NextStep(why=why, command=f"lrsearch study extend {report.name} FILE")


def _more_budget(report: Report) -> NextStep:
    """Twice the budget; one in epochs or in time stands in the study file alone."""
    budget = report.spec.budget
    runs, trials = budget.runs, report.study.trials_total
    if runs is not None:
        option = f" --runs {2 * runs}"
    elif trials is not None:
        option = f" --trials {2 * trials}"
    else:
        why = "search further, with a larger budget in FILE"
        return NextStep(why=why, command="lrsearch run FILE")
    return NextStep(
        why="search further with twice the budget", command=f"lrsearch run FILE{option}"
    )
