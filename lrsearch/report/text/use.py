"""How to use the recommended recipe: what to type, and what to write into one's own code."""

from dataclasses import dataclass

from lrsearch.command.template import placeholders
from lrsearch.report.model import Report
from lrsearch.report.text.python_steps import is_unnamed, result_words
from lrsearch.spec.command_line import RECIPE, RECIPE_JSON, command_line

#: How a training takes the recipe.
CODE = (
    'recipe = lrsearch.Recipe.load("best.yaml")',
    "optimizer, scheduler = recipe.build(model, steps_per_epoch=len(loader))",
    "# after every optimizer.step(): scheduler.step()",
)


@dataclass(frozen=True, kw_only=True)
class Use:
    #: Lines for a shell.
    commands: tuple[str, ...] = ()
    #: Lines of Python.
    code: tuple[str, ...] = ()


def use(report: Report) -> Use | None:
    """None while there is no recipe."""
    recipe = report.recommended
    if recipe is None:
        return None
    if report.spec.program == "task" and is_unnamed(report):
        return Use(code=(*_files(report), *CODE))
    export = f"lrsearch export {report.name} --format"
    command = command_line(report.spec, recipe)
    if command is None:
        return _of_task(export)
    file: tuple[str, ...] = ()
    if report.spec.program == "train":
        file = ("# the recipe as a file", f"{export} yaml --out {RECIPE}")
    elif "recipe" in placeholders(report.spec.command):
        file = ("# the recipe as a file", f"{export} json --out {RECIPE_JSON}")
    return Use(commands=(*file, "# your script with this recipe", command))


def _of_task(export: str) -> Use:
    return Use(
        commands=(
            "# a file for Recipe.load (or json)",
            f"{export} yaml --out best.yaml",
            "# plain PyTorch that needs no lrsearch",
            f"{export} torch --out best.py",
        ),
        code=CODE,
    )


def _files(report: Report) -> tuple[str, ...]:
    """The same files, written from Python."""
    result = result_words(report)
    return (
        f'{result}.export("yaml", "best.yaml")',
        f'{result}.export("torch", "best.py")  # plain PyTorch that needs no lrsearch',
    )
