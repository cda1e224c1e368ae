"""A recipe whose optimizer or schedule is the script's own: read, told in words, never built."""

import pytest
from torch import nn

from lrsearch.catalog.compatibility import illegal, illegal_pair, takes_warmup
from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.catalog.script import SCRIPT, uses_script
from lrsearch.errors import SpecError, TaskError
from lrsearch.recipe.fingerprint import fingerprint
from lrsearch.recipe.recipe import Recipe


def recipe_of(optimizer="script", schedule="script", **fields):
    given = {"optimizer": optimizer, "schedule": schedule, "epochs": 2, **fields}
    if isinstance(optimizer, str):
        given["optimizer"] = {"name": optimizer, "lr": 0.01}
    return Recipe.from_dict(given)


@pytest.mark.parametrize(
    ("recipe", "title"),
    [
        (recipe_of(), "lr 0.01 · the script's own optimizer and schedule"),
        (
            recipe_of({"name": "script", "lr": 0.01, "weight_decay": 0.1}, warmup=0.05),
            "lr 0.01 (weight_decay 0.1) · the script's own optimizer and schedule · warmup 5 %",
        ),
        (recipe_of("adamw"), "adamw lr 0.01 · the script's own schedule"),
        (
            recipe_of(schedule={"name": "step", "gamma": 0.5}, params={"width": 8}),
            "lr 0.01 · step (gamma 0.5) · the script's own optimizer · width 8",
        ),
    ],
)
def test_a_title_says_what_is_the_scripts_own(recipe, title):
    assert recipe.title() == title


@pytest.mark.parametrize(
    ("recipe", "kind"), [(recipe_of(), "optimizer"), (recipe_of("adamw"), "schedule")]
)
def test_it_cannot_be_built(recipe, kind):
    with pytest.raises(TaskError) as refused:
        recipe.build(nn.Linear(2, 1), steps_per_epoch=3)
    assert str(refused.value) == (
        f"the {kind} is the script's own; run the script with these values"
    )


@pytest.mark.parametrize(
    ("optimizer", "line"),
    [
        ({"name": "script"}, "recipe: optimizer.lr is missing"),
        (
            {"name": "script", "lr": 0.1, "nesterov": True},
            "recipe: optimizer.nesterov is not a field of script; accepted: betas, eps, fused, lr, "
            "momentum, weight_decay",
        ),
        ({"name": "script", "lr": -1}, "recipe: optimizer.lr = -1, but above 0 is accepted"),
        (
            {"name": "script", "lr": 0.1, "fused": True},
            "recipe: optimizer.fused = true, but torch has no fused script",
        ),
    ],
)
def test_its_fields_have_limits(optimizer, line):
    with pytest.raises(SpecError) as refused:
        recipe_of(optimizer)
    assert str(refused.value) == line


def test_the_scripts_schedule_has_no_fields():
    with pytest.raises(SpecError, match=r"schedule\.gamma is not a field of script; it has none"):
        recipe_of(schedule={"name": "script", "gamma": 0.1})


def test_a_field_that_is_left_out_is_not_known_to_be_zero():
    plain = recipe_of().to_dict()
    without_decay = recipe_of({"name": "script", "lr": 0.01, "weight_decay": 0.0}).to_dict()
    assert fingerprint(plain) != fingerprint(without_decay)


def test_it_goes_with_every_optimizer_and_schedule():
    assert all(illegal_pair(name, SCRIPT) is None for name in OPTIMIZERS)
    assert all(illegal_pair(SCRIPT, name) is None for name in SCHEDULES)
    assert takes_warmup(SCRIPT, SCRIPT)
    assert illegal(SCRIPT, {"name": "one_cycle", "cycle_momentum": True}, 0.0) is None


def test_studies_that_build_their_optimizers_have_neither():
    assert uses_script(["adamw", "sgd"], ["cosine"]) is None
    assert uses_script(["adamw", SCRIPT], ["cosine"]) == (
        "optimizer 'script' is what a command's script uses, and only a study with `command:` has "
        "one; name another, such as adamw"
    )
    assert uses_script(["adamw"], [SCRIPT]) == (
        "schedule 'script' is what a command's script uses, and only a study with `command:` has "
        "one; name another, such as cosine"
    )
