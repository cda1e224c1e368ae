"""A recipe in words."""

from typing import TYPE_CHECKING

from lrsearch.catalog.groups import OF_TASK
from lrsearch.catalog.script import SCRIPT
from lrsearch.plain_data import Fields, Unchecked

if TYPE_CHECKING:
    from lrsearch.recipe.recipe import Recipe


def title(recipe: "Recipe") -> str:
    """`sgd lr 0.05 (momentum 0.9) · cosine · warmup 5 %`: one line for people."""
    schedule = "" if recipe.schedule_name == SCRIPT else recipe.schedule_name
    parts = [
        peak(recipe) + _fields(recipe.optimizer, ("name", "lr", "fused")),
        schedule + _fields(recipe.schedule, ("name",)),
        _of_script(recipe),
    ]
    if recipe.warmup:
        parts.append(f"warmup {100 * recipe.warmup:g} %")
    if recipe.warmup_steps:
        parts.append(f"warmup {recipe.warmup_steps} steps")
    if recipe.groups == OF_TASK:
        parts.append("groups of the task")
    parts += [rule.title() for rule in recipe.group_rules]
    parts += [f"{key} {_short(value)}" for key, value in recipe.params.items()]
    return " · ".join(filter(None, parts))


def peak(recipe: "Recipe") -> str:
    """`sgd lr 0.05`; `lr 0.05` of a script's own optimizer."""
    name = "" if recipe.optimizer_name == SCRIPT else f"{recipe.optimizer_name} "
    return f"{name}lr {_short(recipe.lr)}"


def short_title(recipe: "Recipe") -> str:
    """`sgd lr 0.05 · cosine`: short enough for a legend."""
    schedule = "" if recipe.schedule_name == SCRIPT else f" · {recipe.schedule_name}"
    return peak(recipe) + schedule


def _fields(fields: Fields, left_out: tuple[str, ...]) -> str:
    found = [f"{key} {_short(value)}" for key, value in fields.items() if key not in left_out]
    return f" ({', '.join(found)})" if found else ""


def _of_script(recipe: "Recipe") -> str:
    """What a command's script decides by itself."""
    kinds = {"optimizer": recipe.optimizer_name, "schedule": recipe.schedule_name}
    own = " and ".join(kind for kind, name in kinds.items() if name == SCRIPT)
    return own and f"the script's own {own}"


def _short(value: Unchecked) -> str:
    if isinstance(value, list | tuple):
        return "/".join(_short(item) for item in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)
