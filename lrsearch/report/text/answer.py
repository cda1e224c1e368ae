"""What a terminal shows of a study: how it stands, the answer, and where its files are."""

from pathlib import Path

from lrsearch.fusing.choice import Choice
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.model import Report
from lrsearch.report.text.format import duration, length_unit, number
from lrsearch.report.text.origin import budget_text, origin_text
from lrsearch.report.text.range_test import window_line
from lrsearch.report.text.result import answer
from lrsearch.report.text.review import review_lines
from lrsearch.spec.command_line import command_line


def recipe_text(report: Report, *, verbose: bool = False) -> str:
    """The answer, a line each; `verbose` adds what stands behind it."""
    found = answer(report)
    more = [*found.details, *review_lines(report.advice, report.audit, report.metric)]
    return "\n".join([*found.sentences, *(["", *more] if verbose and more else [])])


def answer_text(report: Report, *, folder: Path, wall_seconds: float, verbose: bool = False) -> str:
    """The end of `lrsearch run`: the answer, and where its files are."""
    name = report.name
    lines = [] if wall_seconds else [f"study {name} is {report.state}; nothing is left to do"]
    lines += ["", recipe_text(report, verbose=verbose), ""]
    lines += _behind(report) if verbose else []
    lines += [f"Training took {duration(wall_seconds)} by the clock."] if wall_seconds else []
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


def study_text(report: Report, *, verbose: bool = False) -> str:
    """`lrsearch study show` for people."""
    counts = ", ".join(f"{n} {state}" for state, n in report.counts.items() if n) or "none yet"
    lines = [
        f"study {report.name}: {report.state}",
        f"budget: {budget_text(report.budget, length_unit(report.spec))}",
    ]
    lines += [f"trials: {counts}", *(_behind(report) if verbose else [])]
    return "\n".join([*lines, "", recipe_text(report, verbose=verbose)])


def _behind(report: Report) -> list[str]:
    """Where the study comes from, what its range tests read, how its trials were trained."""
    lines = [*origin_text(report.origin), *map(window_line, report.range_tests)]
    lines += [f"engine: {Choice.from_row(each).title} ({each.device})" for each in report.engines]
    return [*lines, f"resume: {report.resume}"] if report.resume else lines


def study_line(report: Report) -> str:
    """A line of `lrsearch study list`."""
    ended = sum(1 for trial in report.trials if trial.has_ended)
    best = None if report.best is None else report.best.value
    return f"{report.name}  {report.state}  {ended} trials  best {report.metric} {number(best)}"
