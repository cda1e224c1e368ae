"""Textbook recipes lie inside the space they are made for."""

import pytest
from drawn import DrawnTrial
from hypothesis import given, reject
from hypothesis import strategies as st

from lrsearch.catalog.domains import Range
from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.errors import SpecError
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.parse import parse_space
from lrsearch.space.presets import PRESETS
from lrsearch.space.sampling_units import suggest
from lrsearch.space.textbook import FIRST, textbook_recipes


def pairs(recipes):
    return [(recipe["optimizer"]["name"], recipe["schedule"]["name"]) for recipe in recipes]


def space_of(optimizers, schedules=("cosine",), **changes):
    return parse_space({"optimizers": optimizers, "schedules": list(schedules), **changes})


def test_the_first_three_are_the_textbooks():
    space = space_of(["adamw", "sgd"], ["constant", "one_cycle", "cosine"], warmup=[0.0, 0.05])
    sgd, adamw, one_cycle = textbook_recipes(space, 3)
    assert pairs([sgd, adamw, one_cycle]) == list(FIRST)
    momentum = {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    assert sgd["optimizer"] == {"name": "sgd", "lr": 0.05, **momentum}
    assert adamw["optimizer"]["lr"] == 1e-3
    assert adamw["optimizer"]["betas"] == [0.9, 0.999]
    assert adamw["optimizer"]["weight_decay"] == 0.01
    assert (sgd["warmup"], adamw["warmup"], one_cycle["warmup"]) == (0.05, 0.05, 0.0)
    assert one_cycle["schedule"]["pct_start"] == 0.3


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        ({"low": 1e-4, "high": 1e-2, "log": True}, 1e-2),
        ({"low": 0.2, "high": 1.0, "log": True}, 0.2),
        ({"low": 0.04, "high": 1.0, "step": 0.05}, 0.04),
        ({"choices": [0.5, 0.03]}, 0.03),
        (0.7, 0.7),
    ],
    ids=str,
)
def test_a_value_outside_its_domain_moves_to_the_nearest_inside(domain, value):
    (recipe,) = textbook_recipes(space_of({"sgd": {"lr": domain, "momentum": 0.9}}), 1)
    assert recipe["optimizer"]["lr"] == pytest.approx(value)


def test_without_the_textbooks_momentum_the_lr_has_the_same_step_size():
    lr = {"low": 1e-3, "high": 10.0, "log": True}
    (recipe,) = textbook_recipes(space_of({"sgd": {"lr": lr, "momentum": 0.0}}), 1)
    assert recipe["optimizer"]["lr"] == pytest.approx(0.5)


@pytest.mark.parametrize(("batch_size", "lr"), [(32, 0.025), (128, 0.1), (None, 0.05)])
def test_the_lr_of_sgd_follows_the_batch_size(batch_size, lr):
    space = space_of({"sgd": {"momentum": 0.9, "nesterov": True}})
    (recipe,) = textbook_recipes(space, 1, batch_size)
    assert recipe["optimizer"]["lr"] == pytest.approx(lr)


def test_what_no_textbook_has_is_the_middle_or_the_first_choice():
    params = {
        "width": {"low": 16, "high": 64, "log": True},
        "layers": {"low": 1, "high": 9, "step": 2},
        "dropout": {"low": 0.0, "high": 0.3},
        "activation": ["relu", "gelu"],
    }
    lr = {"low": 1e-4, "high": 1e-2, "log": True}
    (recipe,) = textbook_recipes(space_of({"adagrad": {"lr": lr}}, params=params), 1)
    assert recipe["params"] == {"width": 32, "layers": 5, "dropout": 0.15, "activation": "relu"}
    assert recipe["optimizer"]["lr"] == pytest.approx(1e-3)


def test_further_ones_are_pairs_of_the_space_until_there_are_no_more():
    space = space_of(["adam", "sgd"], ["step", "linear", "cosine", "exponential"])
    assert pairs(textbook_recipes(space, 99)) == [
        ("sgd", "cosine"),
        ("adam", "cosine"),
        ("adam", "linear"),
        ("sgd", "linear"),
        ("adam", "step"),
        ("sgd", "step"),
    ]
    assert textbook_recipes(space, 0) == []


def written(data, name, preset):
    """A field as a user may write it, from values that its preset could give."""
    values = [suggest(DrawnTrial(data), f"x.{name}", preset) for _ in range(2)]
    kinds = ["fixed", "choices"] if values[0] != values[1] else ["fixed"]
    if isinstance(preset, Range) and values[0] != values[1]:
        kinds += ["range", "log", "step"]
    kind = data.draw(st.sampled_from(kinds))
    if kind == "fixed":
        return values[0]
    if kind == "choices":
        return {"choices": values}
    low, high = sorted(values)
    steps = {"step": (high - low) / data.draw(st.integers(1, 7))}
    return {"low": low, "high": high, **{"range": {}, "log": {"log": low > 0}, "step": steps}[kind]}


def drawn_owners(data, registry):
    """Some of the registry's names, each with some of its fields written by hand."""
    names = data.draw(
        st.lists(st.sampled_from(list(registry)), min_size=1, max_size=4, unique=True)
    )
    return {
        name: {
            key: written(data, key, preset)
            for key, preset in registry[name].ranges.items()
            if data.draw(st.booleans())
        }
        for name in names
    }


@given(data=st.data(), count=st.integers(0, 6))
def test_every_recipe_is_inside_any_space_and_no_pair_comes_twice(data, count):
    content = {
        "optimizers": drawn_owners(data, OPTIMIZERS),
        "schedules": drawn_owners(data, SCHEDULES),
        "warmup": data.draw(st.sampled_from([0.0, [0.0, 0.05], {"low": 0.0, "high": 0.1}])),
        "params": {"width": written(data, "width", Range(low=8, high=64, integer=True))},
    }
    try:
        space = parse_space(content)
    except SpecError:
        reject()  # an illegal pair, drawn by chance
    recipes = textbook_recipes(space, count)
    assert len(recipes) <= count
    assert len(set(pairs(recipes))) == len(recipes)
    for recipe in recipes:
        params = space.params_of(Recipe.from_dict(recipe).to_dict())
        assert params is not None
        assert space.suggest(DrawnTrial(data, params)).keys() == recipe.keys()
    if set(space.schedules) & {"cosine", "linear"}:  # legal with everything
        assert len(recipes) >= min(count, len(space.optimizers))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_three(name):
    assert len(textbook_recipes(parse_space(name), 3)) == 3
