"""Next steps as Python calls, for a study that no command can go on with.

`task` stands for what the call that began the study was given as its task, `fields` for its other
arguments, and `result` for what it returned.
"""

from dataclasses import dataclass

from lrsearch.report.model import Report
from lrsearch.report.text.step import NextStep
from lrsearch.spec.program import UNNAMED
from lrsearch.spec.transfer_field import LadderField


@dataclass(frozen=True)
class PythonSteps:
    """`Steps` of a study that `lrsearch.search` began with a Task object, or without a name."""

    report: Report

    def use(self) -> NextStep:
        code = f"{self._result()}.export('torch', 'best.py')"
        return _step("write this recipe as PyTorch code", code)

    def confirm(self, runs: int) -> NextStep:
        code = f"{self._result('task=task')}.confirm(runs={runs})"
        return _step("compare on more fresh seeds", code)

    def widen(self, why: str) -> NextStep:
        learns = self._is_named and self.report.recommended is not None
        earlier = [f"warm_start=[{self.report.name!r}]"] if learns else []
        return _step(f"{why}, which `space` names", self._anew(*earlier, "space=space"))

    def more_budget(self) -> NextStep:
        runs, trials = self.report.spec.budget.runs, self.report.study.trials_total
        why = "search further" if self._is_named else "search anew"
        if runs is not None:
            more = f"budget={{'runs': {2 * runs}}}"
        elif trials is not None:
            more = f"trials={2 * trials}"
        else:
            return _step(f"{why}, with a larger `budget`", self._again("budget=budget"))
        return _step(f"{why} with twice the budget", self._again(more))

    def long_runs(self, ladder: LadderField) -> NextStep:
        return _step(
            "train long runs at the guess and beside it",
            f"lrsearch.open_study({ladder.of!r}, task=task).transfer("
            f"to={ladder.to}, probes=3, name={self.report.name + '-probes'!r})",
        )

    def train(self, why: str) -> NextStep:
        return _step(why, self._again())

    def resume(self) -> NextStep:
        return NextStep(why="end the pause", command=f"lrsearch study resume {self.report.name}")

    def look(self) -> NextStep:
        command = f"lrsearch status {self.report.name}"
        return NextStep(why="see what each worker trains", command=command)

    def check(self) -> NextStep:
        return _step("search anew, once the data or the model are mended", self._anew())

    def failure(self) -> NextStep:
        code = f"[trial.reason for trial in {self._result()}.trials]"
        return _step("see how they failed", code)

    def range_test(self) -> NextStep:
        return self.widen("search lower learning rates")

    @property
    def _is_named(self) -> bool:
        """Whether another call finds the study."""
        return not is_unnamed(self.report)

    def _result(self, *arguments: str) -> str:
        return result_words(self.report, *arguments)

    def _again(self, *arguments: str) -> str:
        """The call that began the study; with its name it goes on with it."""
        return self._search(self.report.name, *arguments)

    def _anew(self, *arguments: str) -> str:
        """The same call for another study."""
        return self._search(f"{self.report.name}-2", *arguments)

    def _search(self, name: str, *arguments: str) -> str:
        first = ["task"] if self.report.spec.program == "task" else []
        named = [f"name={name!r}"] if self._is_named else []
        return f"lrsearch.search({', '.join((*first, *named, *arguments, '**fields'))})"


def is_unnamed(report: Report) -> bool:
    """Whether nobody but the call that began the study may know where it is."""
    return report.name.startswith(UNNAMED)


def result_words(report: Report, *arguments: str) -> str:
    """The study's `Result`; of a study without a name there is no other than the call returned."""
    if is_unnamed(report):
        return "result"
    return f"lrsearch.open_study({', '.join((repr(report.name), *arguments))})"


def _step(why: str, code: str) -> NextStep:
    return NextStep(why=why, command=code, language="python")
