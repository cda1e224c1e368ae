"""Whether two recipes are one."""

from lrsearch.plain_data import Fields
from lrsearch.recipe.recipe import without_fused


def is_same(given: Fields, trained: Fields) -> bool:
    """Whether a recipe that was trained is the given one; the task's batch size fills a gap.

    The same with a fused kernel is the same, to rounding.
    """
    size = given["batch_size"] or trained["batch_size"]
    mine, theirs = ({"accumulate": 1, **recipe} for recipe in (given, trained))
    for recipe in (mine, theirs):
        recipe["optimizer"] = without_fused(recipe["optimizer"])
    return {**mine, "batch_size": size} == theirs
