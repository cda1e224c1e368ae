"""The graphed cohort: its trials equal the same trials alone, and its step is device work alone."""

import pytest
import torch
from test_cohort import FUSED, KINDS, close, recipe_of
from test_exactness import SCHEDULES, WARMUP
from trained_together import alone, doubled, drive, make_cache, make_spec

from lrsearch.training.graphed.cohort import GraphedCohort

#: Optimizers of torch that look at shapes, so that rows have no rule for them.
SHAPED = ("adafactor", "muon")
RULED = [kind for kind in KINDS if not kind.startswith(SHAPED)]


@pytest.fixture
def float64():
    """NAdam keeps a coefficient in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make_graphed(size, task, recipe, **spec):
    return GraphedCohort(make_spec(epochs=recipe.epochs, **spec), make_cache(task), recipe, size)


def recipes_of(schedule, epochs):
    recipes = [
        recipe_of(
            name,
            schedule,
            warmup=WARMUP * (i // 2 % 2),
            clip_norm=0.5 if i % 2 else None,
            epochs=epochs,
        )
        for i, name in enumerate(RULED)
    ]
    recipes.append(recipe_of("adamw", schedule, optimizer=FUSED, epochs=epochs))
    if schedule == "constant":
        recipes.append(recipe_of("rprop", schedule, epochs=epochs))
    return recipes


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_optimizer_with_every_schedule_equals_itself_alone(schedule):
    recipes = recipes_of(schedule, epochs=6)
    often = {} if schedule == "plateau" else {"validate_every": {"fraction": 0.25}}
    cohort = make_graphed(len(recipes), doubled(), recipes[0], **often)
    close(drive(cohort, recipes), alone(recipes, doubled(), **often))
