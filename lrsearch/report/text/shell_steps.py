"""Next steps as commands. FILE stands for the study file."""

from dataclasses import dataclass

from lrsearch.command.template import placeholders
from lrsearch.report.model import Report
from lrsearch.report.text.step import NextStep
from lrsearch.spec.command_line import command_line
from lrsearch.spec.transfer_field import LadderField
from lrsearch.trial.states import TrialState


@dataclass(frozen=True)
class ShellSteps:
    """`Steps` of a study that files describe."""

    report: Report

    def use(self) -> NextStep:
        recipe, name, spec = self.report.recommended, self.report.name, self.report.spec
        command = None if recipe is None else command_line(spec, recipe)
        if command is None:
            code = f"lrsearch export {name} --format torch --out best.py"
            return NextStep(why="write this recipe as PyTorch code", command=code)
        if spec.program == "train" or "recipe" in placeholders(spec.command):
            line = f"lrsearch export {name} --format command"
            return NextStep(why="see the command that trains this recipe", command=line)
        return NextStep(why="train your script with this recipe", command=command)

    def confirm(self, runs: int) -> NextStep:
        command = f"lrsearch confirm {self.report.name} --runs {runs}"
        return NextStep(why="compare on more fresh seeds", command=command)

    def widen(self, why: str) -> NextStep:
        command = f"lrsearch study extend {self.report.name} FILE"
        return NextStep(why=f"{why}, written into FILE first", command=command)

    def more_budget(self) -> NextStep:
        runs, trials = self.report.spec.budget.runs, self.report.study.trials_total
        if runs is not None:
            option = f" --runs {2 * runs}"
        elif trials is not None:
            option = f" --trials {2 * trials}"
        else:
            why = "search further, with a larger budget written into FILE first"
            return NextStep(why=why, command="lrsearch run FILE")
        why = "search further with twice the budget"
        return NextStep(why=why, command=f"lrsearch run FILE{option}")

    def long_runs(self, ladder: LadderField) -> NextStep:
        option = f"--to {ladder.to} --probes 3 --name {self.report.name}-probes"
        command = f"lrsearch transfer {ladder.of} {option}"
        return NextStep(why="train long runs at the guess and beside it", command=command)

    def train(self, why: str) -> NextStep:
        return NextStep(why=why, command=f"lrsearch worker {self.report.name}")

    def resume(self) -> NextStep:
        command = f"lrsearch study resume {self.report.name}"
        return NextStep(why="end the pause", command=command)

    def look(self) -> NextStep:
        command = f"lrsearch status {self.report.name}"
        return NextStep(why="see what each worker trains", command=command)

    def check(self) -> NextStep:
        return NextStep(why="train one batch and see its loss", command="lrsearch check FILE")

    def failure(self) -> NextStep:
        name = self.report.name
        failed = [t.number for t in self.report.trials if t.state == TrialState.FAILED]
        number = next((number for number in failed if number is not None), None)
        if number is None:
            return NextStep(why="see the workers' last notes", command=f"lrsearch status {name}")
        word = "show" if self.report.spec.program == "task" else "log"
        command = f"lrsearch trial {word} {name} {number}"
        return NextStep(why="see how one of them failed", command=command)

    def range_test(self) -> NextStep:
        why = "see from which learning rate on training diverges"
        return NextStep(why=why, command="lrsearch range-test FILE")
