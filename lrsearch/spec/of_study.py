"""What a recipe has from its study where it says nothing itself."""

from lrsearch.catalog.domains import Choice, Fixed
from lrsearch.catalog.groups import OF_TASK
from lrsearch.catalog.lookup import optimizer_info
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.errors import SpecError
from lrsearch.plain_data import Document
from lrsearch.recipe.recipe import NO_FUSED_FP16, Precision, Recipe
from lrsearch.space.groups import fixed_groups
from lrsearch.space.search_space import SearchSpace
from lrsearch.spec.parts import Objective


def completed(
    recipe: Recipe, space: SearchSpace, objective: Objective, precision: Precision, where: str
) -> Document:
    """The fields `optimizer`, `groups` and `schedule`, as far as the study adds to them.

    An optimizer runs fused where torch has a kernel, unless the recipe says otherwise. A recipe
    without groups has those of the space, as far as they are fixed; one with `groups: []` has none.
    Raises SpecError where the recipe contradicts the study.
    """
    found: Document = {}
    if "fused" not in recipe.optimizer and _runs_fused(recipe.optimizer_name, precision):
        found["optimizer"] = {**recipe.optimizer, "fused": True}
    if recipe.groups == OF_TASK and space.groups != OF_TASK:
        raise SpecError(
            f"{where}.groups = {OF_TASK!r}, but the study's task has no function of groups"
        )
    if recipe.groups is None and space.groups is not None:
        found["groups"] = fixed_groups(space.groups)
    if recipe.schedule_name == "plateau" and recipe.schedule.get("metric") == "objective":
        mode = "max" if objective.direction == "maximize" else "min"
        if recipe.schedule.get("mode", mode) != mode:
            raise SpecError(
                f"{where}.schedule.mode = {recipe.schedule['mode']!r}, but the study has direction "
                f"{objective.direction}; leave it out"
            )
        if mode != SCHEDULES[recipe.schedule_name].defaults["mode"]:
            found["schedule"] = {**recipe.schedule, "mode": mode}
    return found


def _runs_fused(optimizer: str, precision: Precision) -> bool:
    """Whether the optimizer is fused where neither its recipe nor the space says so."""
    info = optimizer_info(optimizer, "optimizer.name")
    return info.builtin and bool(info.fused) and precision != "fp16"


def check_fused(space: SearchSpace, precision: Precision) -> None:
    """Raises SpecError for an optimizer that is to run fused where the precision forbids it."""
    for name, fields in space.optimizers.items():
        fused = fields.get("fused")
        choices = fused.choices if isinstance(fused, Choice) else (False,)
        choices = (fused.value,) if isinstance(fused, Fixed) else choices
        if precision == "fp16" and True in choices:
            raise SpecError(f"space.optimizers.{name}.fused = true, but {NO_FUSED_FP16}")
