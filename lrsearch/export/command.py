"""The command that trains a recipe with the script of the user's own, as a shell script."""

from lrsearch.errors import SpecError
from lrsearch.export.header import Origin
from lrsearch.recipe.recipe import Recipe


def write(recipe: Recipe, origin: Origin) -> str:
    """Raises SpecError for a study with a task, whose loop is lrsearch's."""
    if origin.command is None:
        raise SpecError(
            "format command is the command of a study with train or command, and this one has a "
            "task; use --format torch, a script that trains the recipe"
        )
    lines = "".join(f"# {line}\n" for line in (origin.trial(), *origin.notes))
    return f"#!/bin/sh\n{lines}{origin.command}\n"
