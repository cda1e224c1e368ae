"""Which optimizers draw random numbers: side by side they would take each other's."""

from collections.abc import Sequence

import torch

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.recipe.build_optimizer import build_optimizer
from lrsearch.recipe.recipe import Recipe
from lrsearch.training.model import make_model
from lrsearch.training.randomness import drew, other_random_state, set_other_random_state
from lrsearch.training.task_cache import TaskCache

#: Steps that are looked at: the first makes an optimizer's state.
STEPS = 3


def drawing(cache: TaskCache, recipes: Sequence[Recipe]) -> str | None:
    """Why trials of these recipes cannot share their random numbers; None if they can.

    torch's optimizers draw none. Of each other one a few steps are made. Raises what the task's
    code and the optimizer's do.
    """
    for recipe in recipes:
        name = recipe.optimizer_name
        if not optimizer_info(name, "optimizer").builtin and _draws(cache, recipe):
            return f"{name} draws random numbers, which each trial needs to itself"
    return None


def _draws(cache: TaskCache, recipe: Recipe) -> bool:
    model = make_model(cache.task(recipe.params), cache.device)
    optimizer = build_optimizer(recipe.optimizer, model)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)

    def steps() -> None:
        for _ in range(STEPS):
            optimizer.step()

    before = other_random_state()
    of_torch = drew(steps, cache.device)
    after = other_random_state()
    set_other_random_state(before)
    return of_torch or not torch.equal(before, after)
