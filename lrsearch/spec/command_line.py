"""The command that trains a recipe once more with the user's own script."""

import shlex
from pathlib import Path

from lrsearch.command.template import TemplateValues, fill, placeholders
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec

#: The recipe's files beside the command: of a `train` script, and of a command with `{recipe}`.
RECIPE, RECIPE_JSON = "best.yaml", "best.json"
#: What stands for `{dir}`, the folder of a trial.
FOLDER = "best"
#: Calls the function that a `train:` names; a whole script runs by itself.
ALONE = ("-m", "lrsearch.own_loop.alone")


def command_line(spec: StudySpec, recipe: Recipe, folder: Path = Path()) -> str | None:
    """The command for a shell; None for a study with a task, whose loop is lrsearch's.

    The recipe's file lies in `folder`. Raises SpecError where a placeholder has no value.
    """
    if spec.program == "task":
        return None
    if spec.train is not None:
        words = [*(spec.launch or ("python",)), *(ALONE if ":" in spec.train else ()), spec.train]
        return shlex.join([*words, *spec.arguments, "--recipe", str(folder / RECIPE)])
    values = values_of(recipe, folder=folder / FOLDER, file=folder / RECIPE_JSON)
    line = shlex.join(fill(spec.command, values, spec.names))
    if "dir" not in placeholders(spec.command):
        return line
    return f"mkdir -p {shlex.quote(str(folder / FOLDER))} && {line}"  # as each trial finds it


def values_of(recipe: Recipe, *, folder: Path, file: Path) -> TemplateValues:
    """What a recipe puts in the place of placeholders; `file` has it as JSON."""
    return TemplateValues(
        optimizer=recipe.optimizer,
        schedule=recipe.schedule,
        warmup=recipe.warmup,
        params=recipe.params,
        seed=recipe.seed,
        epochs=recipe.epochs,
        steps=recipe.steps,
        dir=str(folder),
        recipe=str(file),
    )
