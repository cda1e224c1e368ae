"""Optimizers of other packages: what their signature says, their train/eval switch, exactness."""

import sys
from dataclasses import replace

import pytest
import schedulefree
import torch
from drawn import DrawnTrial
from hypothesis import given
from hypothesis import strategies as st
from prodigyopt import Prodigy
from small import (
    BATCH_SIZE,
    EPOCHS,
    STEPS_PER_EPOCH,
    TRAIN,
    VALIDATION,
    make_model,
    make_recipe,
    make_training,
    run,
)
from torch.nn.functional import cross_entropy

from lrsearch.catalog.domains import Range
from lrsearch.catalog.fields import BETAS, DECAY_RATE, FLAG
from lrsearch.catalog.lookup import check_optimizer, optimizer_info
from lrsearch.errors import SpecError
from lrsearch.export import export
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.parse import parse_space
from lrsearch.spec.parts import ValidateEvery
from lrsearch.training import checkpoint_state
from lrsearch.training.evaluate import evaluate
from lrsearch.training.one_model import OneModel

SCHEDULE_FREE = {
    "name": "schedulefree.AdamWScheduleFree",
    "lr": 0.05,
    "betas": [0.95, 0.99],
    "warmup_steps": 4,
}
PRODIGY = {"name": "prodigyopt.Prodigy", "lr": 1.0, "d0": 1e-3, "weight_decay": 0.01}
RECIPES = {"schedulefree": (SCHEDULE_FREE, "constant"), "prodigy": (PRODIGY, "cosine")}
every_recipe = pytest.mark.parametrize("name", RECIPES)
SPACE = {
    "optimizers": {
        "schedulefree.SGDScheduleFree": {
            "lr": {"low": 0.1, "high": 10, "log": True},
            "momentum": {"low": 0.5, "high": 0.98},
        },
        "prodigyopt.Prodigy": {
            "lr": 1.0,
            "d_coef": {"low": 0.3, "high": 10, "log": True},
            "beta1": {"low": 0.8, "high": 0.95},
            "safeguard_warmup": [True, False],
        },
    },
    "schedules": ["constant", "cosine"],
}


def recipe_of(name):
    optimizer, schedule = RECIPES[name]
    return make_recipe(optimizer=optimizer, schedule=schedule, seed=3, batch_size=BATCH_SIZE)


def plain_loop(name):
    """Validation losses and weights as the package's own instructions give them."""
    torch.manual_seed(3)
    model = make_model()
    if name == "schedulefree":
        optimizer = schedulefree.AdamWScheduleFree(
            model.parameters(), lr=0.05, betas=(0.95, 0.99), warmup_steps=4
        )
        scheduler = None
    else:
        optimizer = Prodigy(model.parameters(), lr=1.0, d0=1e-3, weight_decay=0.01)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * STEPS_PER_EPOCH)
    losses = []
    for epoch in range(EPOCHS):
        model.train()
        if name == "schedulefree":
            optimizer.train()
        generator = torch.Generator().manual_seed(3 * 1_000_003 + epoch)
        order = torch.randperm(len(TRAIN[0]), generator=generator)
        for batch in order[: STEPS_PER_EPOCH * BATCH_SIZE].split(BATCH_SIZE):
            optimizer.zero_grad()
            cross_entropy(model(TRAIN[0][batch]), TRAIN[1][batch]).backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
        model.eval()
        if name == "schedulefree":
            optimizer.eval()
        with torch.no_grad():
            total = 0.0
            for x, y in zip(*(v.split(8 * BATCH_SIZE) for v in VALIDATION), strict=True):
                total += cross_entropy(model(x), y).item() * len(x)
        losses.append(total / len(VALIDATION[0]))
    return losses


@every_recipe
def test_a_trial_equals_the_loop_of_the_packages_own_instructions(name):
    assert [row.val_loss for row in run(make_training(recipe_of(name)))] == plain_loop(name)


def test_the_switch_changes_what_is_validated():
    """Else nothing would be tested above: the averaged weights are not those in training."""
    training = make_training(recipe_of("schedulefree"))
    row = run(training)[-1]
    assert training.optimizer.param_groups[0]["train_mode"]
    in_training = evaluate(
        training.task,
        training.validation_data,
        OneModel(training.model),
        autocast=training.autocast,
        beat=training.beat,
        device=training.device,
    )
    assert in_training[0].loss != row.val_loss


@every_recipe
@pytest.mark.parametrize("step", [1, 7, 12, 23])
def test_a_resumed_trial_equals_the_uninterrupted_one(name, step):
    whole = make_training(recipe_of(name))
    expected = run(whole)
    first = make_training(recipe_of(name))
    rows = run(first, until=step)
    data = checkpoint_state.pack(first)
    second = make_training(recipe_of(name))
    assert checkpoint_state.unpack(second, data) == []
    rows += run(second)
    assert [replace(row, seconds=0.0) for row in rows] == [
        replace(row, seconds=0.0) for row in expected
    ]
    weights = second.model.state_dict()
    for key, tensor in whole.model.state_dict().items():
        assert torch.equal(weights[key], tensor)


@every_recipe
def test_the_exported_script_repeats_the_trial(name, tmp_path, monkeypatch):
    rows = run(make_training(recipe_of(name)))
    text = export(
        recipe_of(name),
        "torch",
        study="s",
        trial_number=0,
        steps_per_epoch=STEPS_PER_EPOCH,
        value=1.0,
        metric="val_loss",
        versions={"torch": "2", "lrsearch": "0", "optuna": "5"},
        validate_every=ValidateEvery(),
    ).text
    (tmp_path / f"exported_{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__(f"exported_{name}")
    assert ("`optimizer.eval()`" in module.__doc__) == (name == "schedulefree")
    _, repeated = module.train(make_model, TRAIN, VALIDATION, cross_entropy)
    assert [row["val_loss"] for row in repeated] == [row.val_loss for row in rows]


@given(data=st.data())
def test_a_space_of_other_packages_is_sampled_like_any(data):
    space = parse_space(SPACE)
    trial = DrawnTrial(data)
    recipe = Recipe.from_dict({**space.suggest(trial), "steps": 10})
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    optimizer, _ = recipe.build(make_model(), steps_per_epoch=5)
    assert optimizer.param_groups[0]["lr"] > 0
    assert space.params_of(recipe.to_dict()) is not None


def test_what_a_signature_says():
    info = optimizer_info("schedulefree.AdamWScheduleFree", "o")
    assert (info.switches, info.momentum, info.fused) == (True, "betas", ())
    assert info.fields["betas"] == BETAS
    assert info.default("betas") == [0.9, 0.999]
    info = optimizer_info("prodigyopt.Prodigy", "o")
    assert info.fields["safeguard_warmup"] == FLAG
    assert not info.switches
    assert optimizer_info("schedulefree.SGDScheduleFree", "o").fields["momentum"] == DECAY_RATE


def test_decay_rates_are_sampled_by_what_they_leave_to_one():
    domains = parse_space(SPACE).optimizers["schedulefree.SGDScheduleFree"]
    assert isinstance(domains["momentum"], Range)
    assert domains["momentum"].unit == "complement"


class NoRate(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {})


class Closed(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    def step(self, closure):
        return closure()


sys.modules["own_optimizers"] = sys.modules[__name__]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.Adam", "there is no module 'nowhere' here; install its package"),
        ("schedulefree.AdamWSchedulefree", "has no 'AdamWSchedulefree'; did you mean"),
        ("torch.optim.AdamW", "lrsearch has it as adamw; write that name"),
        ("torch.optim.LBFGS", "LBFGS needs a closure"),
        ("torch.optim.SparseAdam", "SparseAdam takes sparse gradients only"),
        ("torch.nn.Linear", "it is not a torch.optim.Optimizer"),
        ("own_optimizers.NoRate", "its constructor takes no lr"),
        ("own_optimizers.Closed", "its step() needs a closure"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_the_reason(name, message):
    with pytest.raises(SpecError) as error:
        check_optimizer({"name": name, "lr": 0.1}, "o")
    assert str(error.value).startswith(f"o.name = '{name}': ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lr": 1.0, "d_coeff": 1}, "d_coeff is not a field of prodigyopt.Prodigy; did you mean"),
        ({"lr": 1.0, "safeguard_warmup": 1}, "safeguard_warmup = 1, but true or false"),
        ({"lr": 1.0, "fused": True}, "fused = true, but torch has no fused Prodigy"),
    ],
)
def test_a_bad_space_of_another_package_is_refused(fields, message):
    with pytest.raises(SpecError) as error:
        parse_space({"optimizers": {"prodigyopt.Prodigy": fields}, "schedules": ["constant"]})
    assert message in str(error.value)


class Counting(torch.optim.Optimizer):
    """Three betas, a count, momentum that may be None, and an argument without a default."""

    def __init__(
        self, params, scale, lr=0.1, betas=(0.9, 0.9, 0.99), momentum=None, freq=1, nesterov=True
    ):
        super().__init__(params, {"lr": lr, "betas": betas})

    def step(self, closure=None):
        assert closure is None


COUNTING = "own_optimizers.Counting"


def counting(**fields):
    given = {"lr": 0.1, "scale": 2, **fields}
    return parse_space({"optimizers": {COUNTING: given}, "schedules": ["constant"]})


@given(data=st.data())
def test_an_unusual_signature_is_sampled_by_what_it_says(data):
    space = counting(freq={"low": 1, "high": 10}, betas=[[0.9, 0.9, 0.99], [0.5, 0.9, 0.99]])
    recipe = Recipe.from_dict({**space.suggest(DrawnTrial(data)), "steps": 10})
    assert isinstance(recipe.optimizer["freq"], int)
    assert len(recipe.optimizer["betas"]) == 3
    recipe.build(make_model(), steps_per_epoch=5)
    assert space.params_of(recipe.to_dict()) is not None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"betas": [0.9, 0.99]}, "betas = (0.9, 0.99), but 3 numbers are needed"),
        ({"betas": [0.9, 0.9, "x"]}, "betas"),
    ],
)
def test_a_list_of_another_length_is_refused(fields, message):
    with pytest.raises(SpecError) as error:
        counting(**fields)
    assert message in str(error.value)


def test_an_argument_without_a_default_has_to_be_given():
    with pytest.raises(SpecError, match="scale is missing"):
        parse_space({"optimizers": {COUNTING: {"lr": 0.1}}, "schedules": ["constant"]})
    with pytest.raises(SpecError, match=r"o\.scale is missing"):
        check_optimizer({"name": COUNTING, "lr": 0.1}, "o")
    check_optimizer({"name": COUNTING, "lr": 0.1, "scale": 1}, "o")
