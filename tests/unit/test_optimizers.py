"""Optimizers: what is built is torch's own, under torch's own names; what is refused, and how."""

import inspect
import math

import pytest
import reference
import torch
from small import make_model, make_recipe, make_task, make_training, run
from torch import nn

from lrsearch.errors import SpecError
from lrsearch.optimizers import (
    BETAS,
    OPTIMIZERS,
    UNIT,
    Limit,
    build_optimizer,
    check_optimizer,
)
from lrsearch.ranges import Choice, Fixed, Range

LR = reference.LR
#: Every field of every optimizer, at a value that is not torch's default.
ALL_FIELDS = {
    "sgd": {"momentum": 0.8, "dampening": 0.1, "weight_decay": 1e-3, "nesterov": False},
    "adam": {"betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 1e-3, "amsgrad": True},
    "adamw": {"betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 1e-3, "amsgrad": True},
    "adagrad": {
        "lr_decay": 0.01,
        "weight_decay": 1e-3,
        "initial_accumulator_value": 0.1,
        "eps": 1e-6,
    },
    "rmsprop": {
        "alpha": 0.9,
        "eps": 1e-6,
        "weight_decay": 1e-3,
        "momentum": 0.8,
        "centered": True,
    },
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def torch_class(name):
    return getattr(torch.optim, OPTIMIZERS[name].torch_class)


def signature(name):
    """Each argument of the torch class and its default."""
    return {k: p.default for k, p in inspect.signature(torch_class(name)).parameters.items()}


def make_parameters():
    return [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2, 2))]


def hyperparameters(optimizer):
    (group,) = optimizer.param_groups
    return {key: value for key, value in group.items() if key != "params"}


def test_every_optimizer_has_its_case_here():
    assert ALL_FIELDS.keys() == OPTIMIZERS.keys()
    for name, fields in ALL_FIELDS.items():
        assert fields.keys() == OPTIMIZERS[name].fields.keys()


# What is built


@pytest.mark.parametrize(
    ("plain", "optimizer"),
    [
        ("sgd", {"name": "sgd"}),
        ("sgd momentum", {"name": "sgd", "momentum": 0.9, "weight_decay": 1e-3}),
        ("sgd nesterov", {"name": "sgd", "momentum": 0.7, "nesterov": True}),
        ("adam", {"name": "adam", "betas": [0.85, 0.99]}),
        ("adamw", {"name": "adamw", "weight_decay": 0.1}),
        ("adagrad", {"name": "adagrad"}),
        ("rmsprop", {"name": "rmsprop", "alpha": 0.95, "momentum": 0.5}),
    ],
)
def test_an_optimizer_is_that_of_plain_torch(plain, optimizer):
    expected = reference.PLAIN_OPTIMIZERS[plain](make_parameters())
    built = build_optimizer({**optimizer, "lr": LR}, make_parameters())
    assert type(built) is type(expected)
    assert hyperparameters(built) == hyperparameters(expected)


@every_optimizer
def test_every_field_reaches_torch_under_its_own_name(name):
    built = build_optimizer({"name": name, "lr": 0.123, **ALL_FIELDS[name]}, make_parameters())
    left_alone = hyperparameters(torch_class(name)(make_parameters(), lr=0.123))
    fields = ALL_FIELDS[name]
    expected = {k: tuple(v) if k == "betas" else v for k, v in fields.items()}
    assert hyperparameters(built) == {**left_alone, **expected}
    assert all(left_alone[key] != value for key, value in expected.items() if key != "nesterov")


@every_optimizer
def test_fused_is_offered_where_torch_has_it_and_off_unless_asked_for(name):
    recipe = {"name": name, "lr": 0.1}
    assert not hyperparameters(build_optimizer(recipe, make_parameters())).get("fused")
    assert OPTIMIZERS[name].fused == ("fused" in signature(name))
    if OPTIMIZERS[name].fused:
        check_optimizer({**recipe, "fused": True}, "optimizer")
        fused = build_optimizer({**recipe, "fused": True}, make_parameters())
        assert hyperparameters(fused)["fused"] is True
    else:
        with pytest.raises(SpecError, match=r"^optimizer.fused = true, but torch has no fused "):
            check_optimizer({**recipe, "fused": True}, "optimizer")


# The registry against torch


@every_optimizer
def test_every_field_of_the_registry_is_an_argument_of_torch(name):
    info = OPTIMIZERS[name]
    assert info.fields.keys() <= signature(name).keys()
    assert info.ranges.keys() <= info.searchable().keys()
    assert info.torch_defaults.keys() <= info.searchable().keys()


@every_optimizer
def test_the_default_of_every_searchable_field_is_that_of_torch(name):
    info = OPTIMIZERS[name]
    expected = signature(name)
    if "betas" in expected:
        expected["betas"] = list(expected["betas"])
        expected["beta1"], expected["beta2"] = expected["betas"]
    expected["fused"] = False  # torch's None: it never picks the fused implementation by itself
    for key in info.searchable().keys() - {"lr"}:
        assert info.default(key) == expected[key], key


@every_optimizer
def test_the_momentum_of_the_registry_is_what_torch_cycles(name):
    momentum = OPTIMIZERS[name].momentum
    arguments = signature(name)
    assert momentum == next((k for k in ("betas", "momentum") if k in arguments), None)


def in_torch_units(domain):
    """The values that a preset's range ends at, whatever unit it is sampled in."""
    if isinstance(domain, Fixed | Choice):
        return [domain.value] if isinstance(domain, Fixed) else domain.choices
    if domain.unit == "complement":
        assert domain.in_unit
        return [1 - domain.high, 1 - domain.low]
    return [domain.low, domain.high]


@every_optimizer
def test_every_number_of_a_preset_is_inside_the_limits(name):
    info = OPTIMIZERS[name]
    assert "lr" in info.ranges
    for key, domain in info.ranges.items():
        for value in in_torch_units(domain):
            info.searchable()[key].check(value, key)
        if isinstance(domain, Range):
            assert domain.low < domain.high
            assert not domain.log or domain.low > 0


# Limits


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ({"name": "adamm"}, "o.name = 'adamm' is not an optimizer; did you mean 'adam'?"),
        ({"name": "SGD"}, "o.name = 'SGD' is not an optimizer; did you mean 'sgd'?"),
        (
            {"name": "zzz"},
            "o.name = 'zzz' is not an optimizer; accepted: adagrad, adam, adamw, rmsprop, sgd",
        ),
        (
            {"lr": 0.1},
            "o.name = None is not an optimizer; accepted: adagrad, adam, adamw, rmsprop, sgd",
        ),
        ({"name": "sgd"}, "o.lr is missing"),
        (
            {"name": "sgd", "lr": 0.1, "momentun": 0.9},
            "o.momentun is not a field of sgd; did you mean 'momentum'?",
        ),
        (
            {"name": "adagrad", "lr": 0.1, "momentum": 0.9},
            "o.momentum is not a field of adagrad; accepted: eps, fused, "
            "initial_accumulator_value, lr, lr_decay, weight_decay",
        ),
        ({"name": "sgd", "lr": 0}, "o.lr = 0, but above 0 is accepted"),
        ({"name": "sgd", "lr": -0.1}, "o.lr = -0.1, but above 0 is accepted"),
        ({"name": "sgd", "lr": "fast"}, "o.lr = 'fast', but a finite number is needed"),
        ({"name": "sgd", "lr": math.nan}, "o.lr = nan, but a finite number is needed"),
        ({"name": "sgd", "lr": math.inf}, "o.lr = inf, but a finite number is needed"),
        ({"name": "sgd", "lr": True}, "o.lr = True, but a finite number is needed"),
        ({"name": "sgd", "lr": None}, "o.lr = None, but a finite number is needed"),
        (
            {"name": "sgd", "lr": 1, "momentum": 1.0},
            "o.momentum = 1.0, but from 0 to below 1 is accepted",
        ),
        (
            {"name": "sgd", "lr": 1, "momentum": -0.1},
            "o.momentum = -0.1, but from 0 to below 1 is accepted",
        ),
        ({"name": "sgd", "lr": 1, "nesterov": 1}, "o.nesterov = 1, but true or false is accepted"),
        ({"name": "sgd", "lr": 1, "nesterov": True}, "o.nesterov = true needs a momentum above 0"),
        (
            {"name": "sgd", "lr": 1, "nesterov": True, "momentum": 0.9, "dampening": 0.1},
            "o.nesterov = true needs dampening 0",
        ),
        (
            {"name": "sgd", "lr": 1, "weight_decay": -1},
            "o.weight_decay = -1, but from 0 is accepted",
        ),
        ({"name": "adam", "lr": 1, "betas": 0.9}, "o.betas = 0.9, but two numbers are needed"),
        ({"name": "adam", "lr": 1, "betas": [0.9]}, "o.betas = [0.9], but two numbers are needed"),
        (
            {"name": "adam", "lr": 1, "betas": [0.9, 1]},
            "o.betas[1] = 1, but from 0 to below 1 is accepted",
        ),
        (
            {"name": "adam", "lr": 1, "beta1": 0.9},
            "o.beta1 is not a field of adam; did you mean 'betas'?",
        ),
        ({"name": "adam", "lr": 1, "eps": 0}, "o.eps = 0, but above 0 is accepted"),
        (
            {"name": "rmsprop", "lr": 1, "alpha": 1},
            "o.alpha = 1, but from 0 to below 1 is accepted",
        ),
        ({"name": "rmsprop", "lr": 1, "fused": "yes"}, "o.fused = 'yes', but true or false"),
    ],
    ids=str,
)
def test_a_bad_optimizer_is_refused_with_place_value_and_what_is_accepted(optimizer, message):
    with pytest.raises(SpecError) as error:
        check_optimizer(optimizer, "o")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("limit", "accepted", "refused"),
    [
        (Limit(), [0, 0.0, 1e300], [-1e-300, math.inf, math.nan, "1", None, False]),
        (Limit(low_open=True), [1e-300], [0, 0.0]),
        (UNIT, [0, 0.999999], [1, 1.0]),
        (Limit(high=1.0, high_open=False), [0, 1], [1.0000001]),
        (BETAS, [(0, 0), [0.9, 0.999]], [(0.9,), (0.9, 0.9, 0.9), (0.9, 1.0), 0.9, "ab"]),
        (Limit(kind="flag"), [True, False], [0, 1, "true", None]),
    ],
    ids=str,
)
def test_a_limit_accepts_its_own_ends_as_it_says(limit, accepted, refused):
    for value in accepted:
        limit.check(value, "x")
    for value in refused:
        with pytest.raises(SpecError, match=r"^x"):
            limit.check(value, "x")


@every_optimizer
def test_whatever_passes_the_check_is_built_by_torch(name):
    for fields in ({}, ALL_FIELDS[name], *({k: v} for k, v in ALL_FIELDS[name].items())):
        optimizer = {"name": name, "lr": 0.1, **fields}
        check_optimizer(optimizer, "o")
        build_optimizer(optimizer, make_parameters())


# Training


@every_optimizer
def test_an_optimizer_converges(name):
    """To the weights that made the data: a regression without noise."""
    torch.manual_seed(0)
    inputs = torch.randn(64, 4)
    targets = inputs @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]])
    task = make_task(
        model=lambda: nn.Linear(4, 1),
        train=(inputs, targets),
        validation=(inputs, targets),
        loss=nn.functional.mse_loss,
        metrics={},
    )
    lr = {"sgd": 0.1, "adagrad": 1.0}.get(name, 0.1)
    recipe = make_recipe(optimizer={"name": name, "lr": lr}, schedule="cosine", epochs=60)
    rows = run(make_training(recipe, task))
    assert rows[-1].val_loss < 1e-3 < rows[0].val_loss


@pytest.mark.parametrize(
    "optimizer",
    [{"name": name, "lr": LR} for name in OPTIMIZERS]
    + [{"name": name, "lr": LR, "fused": True} for name in OPTIMIZERS if OPTIMIZERS[name].fused],
    ids=str,
)
def test_training_twice_gives_the_same_bits(optimizer):
    weights = []
    for seed in (0, 0, 1):
        training = make_training(make_recipe(optimizer=optimizer, epochs=2, seed=seed))
        run(training)
        weights.append(nn.utils.parameters_to_vector(training.model.parameters()))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_only_parameters_that_are_trained_are_given_to_the_optimizer():
    model = make_model()
    model[0].requires_grad_(False)
    optimizer, _ = make_recipe().build(model, steps_per_epoch=6)
    given = {id(p) for p in optimizer.param_groups[0]["params"]}
    assert given == {id(p) for p in model.parameters()} - {id(p) for p in model[0].parameters()}
