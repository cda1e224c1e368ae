"""Optimizers of other packages, and of a study's own, side by side in a cohort and each alone."""

import numpy
import pytest
import torch
from small import make_recipe, make_task
from trained_together import alone, difference, doubled, drive, make_cache, make_cohort

from lrsearch.catalog.known_classes import KNOWN_CLASSES
from lrsearch.task import own_code
from lrsearch.training.randomness import other_random_state
from lrsearch.training.timing.drawing import drawing

#: The others are never in a cohort.
SIDE_BY_SIDE = [name for name, k in KNOWN_CLASSES.items() if k.ranges and k.alone is None]
#: Between float64 trials that compute the same in another order.
ROUNDING = 1e-12


class OwnSGD(torch.optim.SGD):
    pass


def own_line(progress, end=0.0):
    return 1 - (1 - end) * progress


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_float64")
def test_each_equals_itself_alone(monkeypatch):
    monkeypatch.setattr(own_code, "_LOADED", {"own.py:OwnSGD": OwnSGD, "own.py:own_line": own_line})
    recipes = [
        make_recipe(
            optimizer={"name": name, "lr": 1.0 if "Prodigy" in name else 0.01},
            schedule={"name": schedule},
            epochs=3,
            clip_norm=0.5 if i % 2 else None,
        )
        for i, name in enumerate([*SIDE_BY_SIDE, "own.py:OwnSGD"])
        for schedule in ("cosine", "own.py:own_line")
    ]
    cohort = make_cohort(len(recipes), doubled(), recipes[0])
    together, apart = drive(cohort, recipes), alone(recipes, doubled())
    for (training, rows), (other, wanted) in zip(together, apart, strict=True):
        assert training.diverged is None
        assert difference(training.kept, other.kept) < ROUNDING, training.recipe.title()
        mine, theirs = ([row.val_loss for row in some] for some in (rows, wanted))
        assert mine == pytest.approx(theirs, rel=100 * ROUNDING)


class Noisy(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        torch.rand(1)


class NoisyByNumpy(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        numpy.random.random()


def test_an_optimizer_that_draws_random_numbers_is_found(monkeypatch):
    classes = {"a.py:Own": OwnSGD, "a.py:Noisy": Noisy, "a.py:NoisyByNumpy": NoisyByNumpy}
    monkeypatch.setattr(own_code, "_LOADED", classes)
    cache = make_cache(make_task())
    quiet, *noisy = [make_recipe(optimizer={"name": name, "lr": 0.1}) for name in classes]
    before = other_random_state()
    assert drawing(cache, [make_recipe(), quiet]) is None
    for recipe in noisy:
        reason = drawing(cache, [quiet, recipe])
        assert reason.startswith(f"{recipe.optimizer_name} draws random numbers")
    assert torch.equal(before, other_random_state())
