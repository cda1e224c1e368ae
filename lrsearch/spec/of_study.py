"""What a recipe has from its study where it says nothing itself."""

from lrsearch.catalog.groups import OF_TASK
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.errors import SpecError
from lrsearch.plain_data import Document
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.groups import fixed_groups
from lrsearch.space.search_space import SearchSpace
from lrsearch.spec.parts import Objective


def completed(recipe: Recipe, space: SearchSpace, objective: Objective, where: str) -> Document:
    """The fields `groups` and `schedule`, as far as the study adds to them.

    A recipe without groups has those of the space, as far as they are fixed; one with `groups: []`
    has none. Raises SpecError where the recipe contradicts the study.
    """
    found: Document = {}
    if recipe.groups == OF_TASK and space.groups != OF_TASK:
        raise SpecError(
            f"{where}.groups = {OF_TASK!r}, but the study's task has no function of groups"
        )
    if recipe.groups is None and space.groups is not None:
        found["groups"] = fixed_groups(space.groups)
    if recipe.schedule.get("metric") == "objective":
        mode = "max" if objective.direction == "maximize" else "min"
        if recipe.schedule.get("mode", mode) != mode:
            raise SpecError(
                f"{where}.schedule.mode = {recipe.schedule['mode']!r}, but the study has direction "
                f"{objective.direction}; leave it out"
            )
        if mode != SCHEDULES[recipe.schedule_name].defaults["mode"]:
            found["schedule"] = {**recipe.schedule, "mode": mode}
    return found
