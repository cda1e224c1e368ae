"""A script that is run alone: a plain run of a recipe, which is looked for where users put it."""

import os
import sys
from pathlib import Path

from lrsearch.errors import SpecError, TaskError
from lrsearch.own_loop.line import PlainLine, Ranks
from lrsearch.own_loop.messages import Start
from lrsearch.own_loop.session import Session
from lrsearch.recipe.recipe import Recipe
from lrsearch.shown_text import visible
from lrsearch.training.devices import pick_device
from lrsearch.user_input import read_yaml

#: Names the recipe's file, as the option `--recipe` does.
RECIPE = "LRSEARCH_RECIPE"


def take_option(arguments: list[str]) -> str | None:
    """Take `--recipe FILE` out of a script's arguments, which its own parser then does not see."""
    for i, argument in enumerate(arguments[1:], start=1):
        if argument == "--recipe" and i + 1 < len(arguments):
            value = arguments[i + 1]
            del arguments[i : i + 2]
            return value
        if argument.startswith("--recipe="):
            del arguments[i]
            return argument.removeprefix("--recipe=")
    return None


def session(option: str | None, ranks: Ranks) -> Session:
    """A run of the recipe that is found, or of none. Raises SpecError for a file that is wrong."""
    recipe, source = find_recipe(option)
    if ranks.is_first:
        said = "no recipe" if recipe is None else f"recipe {source}: {recipe.title()}"
        print(
            visible(f"lrsearch: a plain run outside a study, {said}"), file=sys.stderr, flush=True
        )
    start = Start(
        kind="search",
        recipe={} if recipe is None else recipe.to_dict(),
        device=str(pick_device("auto")),
        folder=".",
    )
    return Session(start, recipe, PlainLine() if ranks.is_first else None, ranks, alone=True)


def find_recipe(option: str | None) -> tuple[Recipe | None, str]:
    """The recipe of the option, of LRSEARCH_RECIPE, or of a study beside the script; whose it is.

    Raises SpecError for a file that is wrong, TaskError where several studies are beside it.
    """
    given = option or os.environ.get(RECIPE)
    if given:
        return Recipe.load(given), given
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    found = [] if script is None else _studies(Path(script).resolve())
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise TaskError(
            f"{names} all name this script and have a baseline; choose a recipe with --recipe FILE"
        )
    for path in found:
        return _baseline(path), f"baseline of {path.name}"
    return None, ""


def _studies(script: Path) -> list[Path]:
    """Study files beside a script whose `train:` names it and that have a `baseline:`."""
    found = []
    for path in sorted([*script.parent.glob("*.yaml"), *script.parent.glob("*.yml")]):
        try:
            content = read_yaml(path, "study file")
        except SpecError:  # any other file of the user's
            continue
        train = content.get("train")
        named = isinstance(train, str) and train.partition(":")[0] == script.name
        if named and content.get("baseline") is not None:
            found.append(path)
    return found


def _baseline(path: Path) -> Recipe:
    from lrsearch.spec.study_spec import StudySpec

    spec = StudySpec.load(path)
    assert spec.baseline is not None
    return spec.recipe(spec.baseline, batch_size=None, where=f"{path}: baseline")
