"""Which optimizers and schedules a study names, in its space and in the user's own recipes."""

from collections.abc import Mapping, Sequence

from lrsearch.plain_data import Document, Unchecked
from lrsearch.space.search_space import SearchSpace
from lrsearch.task import own_code

#: A study's own recipes with their places in its file.
Recipes = Sequence[tuple[str, Document]]


def optimizers(space: SearchSpace, recipes: Recipes) -> list[str]:
    """Those of the space, then those of the recipes."""
    given = [_name(recipe, "optimizer") for _, recipe in recipes]
    return [*space.optimizers, *(name for name in given if isinstance(name, str))]


def own(space: SearchSpace, recipes: Recipes) -> list[str]:
    """The optimizers and schedules that are files beside the study file."""
    fields: Document = {
        "space": [*space.optimizers, *space.schedules],
        "enqueue": [r for _, r in recipes],
    }
    return own_code.own_names(fields)


def foreign(fields: Unchecked, space: SearchSpace, recipes: Recipes) -> str | None:
    """What in a recipe is code that the study does not name, in words; None if nothing is."""
    optimizer, schedule = _name(fields, "optimizer"), _name(fields, "schedule")
    is_class = isinstance(optimizer, str) and "." in optimizer
    if is_class and optimizer not in optimizers(space, recipes):
        return f"optimizer.name = {optimizer!r} is no optimizer of the study"
    if own_code.is_own(schedule) and schedule not in own(space, recipes):
        return f"schedule.name = {schedule!r} is no schedule of the study"
    return None


def _name(recipe: Unchecked, kind: str) -> Unchecked:
    """The name of a recipe's optimizer or schedule, however it is written."""
    part = recipe.get(kind) if isinstance(recipe, Mapping) else None
    return part.get("name") if isinstance(part, Mapping) else part
