"""What tells two recipes of a study apart, in a few characters."""

import hashlib
import json

from lrsearch.catalog.lookup import optimizer_info, schedule_info
from lrsearch.plain_data import Document, Fields, Unchecked
from lrsearch.recipe.recipe import without_fused

#: Digits of a number that count: a stepped range gives its values to rounding.
DIGITS = 12


def fingerprint(recipe: Fields, *, own_batch_size: bool = True) -> str:
    """SHA-256 of what a study's recipe trains, the same however it is written.

    A field at its default is as one that is left out, and a fused kernel as the plain one. What all
    recipes of a study have alike (horizon, seed, precision) does not count, and `batch_size` only
    where it is not the task's own for the recipe's params. Raises SpecError for an optimizer or a
    schedule that cannot be found.
    """
    optimizer, schedule = recipe["optimizer"], recipe["schedule"]
    info = optimizer_info(optimizer["name"], "optimizer.name")
    defaults = schedule_info(schedule["name"], "schedule.name").defaults
    taken = {key: info.default(key) for key in optimizer if key not in ("name", "lr")}
    content: Document = {
        "optimizer": _without(without_fused(optimizer), taken),
        "schedule": _without(schedule, defaults),
        **{key: recipe.get(key) for key in ("warmup", "params", "groups", "clip_norm")},
        "batch_size": None if own_batch_size else recipe.get("batch_size"),
    }
    if recipe.get("warmup_steps"):
        content["warmup_steps"] = recipe["warmup_steps"]
    return hashlib.sha256(json.dumps(_plain(content), sort_keys=True).encode()).hexdigest()


def _without(fields: Fields, defaults: Fields) -> Document:
    """The fields that are not at their defaults."""
    return {
        key: value
        for key, value in fields.items()
        if key not in defaults or _plain(value) != _plain(defaults[key])
    }


def _plain(value: Unchecked) -> Unchecked:
    """Mappings, lists and numbers as JSON has them; 1 and 1.0 are one number."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return float(f"{value:.{DIGITS}g}")
