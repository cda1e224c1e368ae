"""What a terminal shows of a study: how it stands, the answer after it, what it has cost."""

from pathlib import Path

from lrsearch.advice.cost import CostPlan
from lrsearch.fusing.choice import Choice
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.cost import Parts
from lrsearch.report.model import Report
from lrsearch.report.text.format import amount, duration, length_unit, number
from lrsearch.report.text.no_answer import exhausted_lines
from lrsearch.report.text.origin import budget_text, origin_text
from lrsearch.report.text.range_test import window_line
from lrsearch.report.text.result import answer
from lrsearch.report.text.review import review_lines, warning_lines
from lrsearch.spec.command_line import command_line

#: What the parts of a study are called.
PART_NAMES = {
    "range_test": "range test",
    "search": "search",
    "audit": "audit",
    "confirm": "confirmation",
}


def recipe_text(report: Report) -> str:
    """The confirmed recipe with its mean and interval, or the search's best, and the baseline."""
    found = answer(report)
    title = [] if found.recipe is None else [f"  {found.recipe}"]
    return "\n".join([f"{found.heading}:", *title, *(f"  {line}" for line in found.lines)])


def planned_epochs(plan: CostPlan) -> dict[str, float | None]:
    """Epochs at most, by part; None where nothing bounds it. The audit's are in the search's."""
    return {"range_test": plan.range_test, "search": plan.search, "confirm": plan.confirm}


def part_names(parts: Parts) -> list[tuple[str, str, float]]:
    """Each part of a study: its key, its name, its amount."""
    return [(key, name, float(getattr(parts, key))) for key, name in PART_NAMES.items()]


def cost_text(report: Report, *, wall_seconds: float = 0.0) -> str:
    """What the study has cost, against the plan."""
    planned = planned_epochs(report.plan)
    unit = length_unit(report.spec)
    parts = []
    for key, name, spent in part_names(report.epochs):
        most = planned.get(key)
        if most is not None:
            parts.append(f"{name} {amount(spent)} of {amount(most)}")
        elif spent or key != "audit":
            parts.append(f"{name} {amount(spent)}")
    text = f"Cost in {unit}: {', '.join(parts)}; training time {duration(report.seconds.total)}"
    return text + (f", {duration(wall_seconds)} by the clock" if wall_seconds else "")


def answer_text(report: Report, *, folder: Path, wall_seconds: float) -> str:
    """The end of `lrsearch run`: the answer, what it cost, and where it is."""
    name = report.name
    lines = [] if wall_seconds else [f"study {name} is {report.state}; nothing is left to do"]
    cost = cost_text(report, wall_seconds=wall_seconds)
    lines += ["", recipe_text(report), *_review(report), *exhausted_lines(report), "", cost]
    lines += [window_line(test) for test in report.range_tests if test.reason]
    lines.append(f"Report: {folder / 'report.html'}")
    if report.recommended is not None:
        lines += _files(report, report.recommended, folder)
    return "\n".join(lines)


def _files(report: Report, recipe: Recipe, folder: Path) -> list[str]:
    """Where the recommended recipe is, and how it is used."""
    command = command_line(report.spec, recipe, folder)
    export = f"Export: lrsearch export {report.name} --format yaml|json"
    if command is None:
        files = f"Recipe: {folder / 'best.yaml'}; plain PyTorch: {folder / 'best.py'}"
        return [files, f"{export}|torch"]
    files = f"Recipe: {folder / 'best.yaml'}; the command: {folder / 'best.sh'}"
    return [files, f"Train it: {command}", f"{export}|shell"]


def study_text(report: Report) -> str:
    """`lrsearch study show` for people."""
    counts = ", ".join(f"{n} {state}" for state, n in report.counts.items() if n) or "none yet"
    lines = [
        f"study {report.name}: {report.state}",
        f"budget: {budget_text(report.budget, length_unit(report.spec))}",
    ]
    lines += [f"trials: {counts}", *origin_text(report.origin)]
    lines += [window_line(test) for test in report.range_tests]
    lines += [f"engine: {Choice.from_row(each).title} ({each.device})" for each in report.engines]
    lines += [f"resume: {report.resume}"] if report.resume else []
    lines += ["", recipe_text(report), *_review(report), *exhausted_lines(report), ""]
    lines.append(cost_text(report))
    return "\n".join(lines)


def study_line(report: Report) -> str:
    """A line of `lrsearch study list`."""
    ended = sum(1 for trial in report.trials if trial.has_ended)
    best = None if report.best is None else report.best.value
    return f"{report.name}  {report.state}  {ended} trials  best {report.metric} {number(best)}"


def _review(report: Report) -> list[str]:
    """What the study says about itself, a line each."""
    lines = [f"Warning: {line}" for line in warning_lines(report.advice)]
    lines += review_lines(report.advice, report.audit, report.metric)
    return ["", *lines] if lines else []
