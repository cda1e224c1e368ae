"""Optimizers: what is built is torch's own, under torch's own names; what is refused, and how."""

import inspect
import math

import pytest
import reference
import torch
from small import make_model, make_recipe, make_training, run
from torch import nn

from lrsearch.catalog.domains import Choice, Fixed, Range
from lrsearch.catalog.fields import BETAS, DECAY_RATE, FLAG, Anything, Limit, Word
from lrsearch.catalog.lookup import check_optimizer
from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.errors import SpecError, TaskError
from lrsearch.recipe.build_optimizer import build_optimizer
from lrsearch.recipe.muon import MuonWithAdamW

LR = reference.LR
DECAYED = {"weight_decay": 1e-3, "weight_decay_exclude_1d": False}
ADAM = {"betas": [0.8, 0.95], "eps": 1e-6, **DECAYED}
#: Every field of every optimizer, at a value that is not torch's default.
ALL_FIELDS = {
    "sgd": {"momentum": 0.8, "dampening": 0.1, "nesterov": False, **DECAYED},
    "adam": {**ADAM, "amsgrad": True},
    "adamw": {**ADAM, "amsgrad": True},
    "nadam": {**ADAM, "momentum_decay": 1e-3, "decoupled_weight_decay": True},
    "radam": {**ADAM, "decoupled_weight_decay": True},
    "adamax": ADAM,
    "adagrad": {
        "lr_decay": 0.01,
        **DECAYED,
        "initial_accumulator_value": 0.1,
        "eps": 1e-6,
    },
    "adadelta": {"rho": 0.8, "eps": 1e-5, **DECAYED},
    "adafactor": {"beta2_decay": -0.7, "d": 2.0, **DECAYED},
    "asgd": {"lambd": 1e-3, "alpha": 0.7, "t0": 1e5, **DECAYED},
    "rprop": {"etas": [0.4, 1.3], "step_sizes": [1e-5, 10.0]},
    "muon": {
        "momentum": 0.8,
        "nesterov": False,
        "ns_steps": 4,
        "eps": 1e-6,
        "adjust_lr_fn": "original",
        "adamw_lr_factor": 0.5,
        "adamw_betas": [0.8, 0.95],
        "adamw_eps": 1e-6,
        **DECAYED,
    },
    "rmsprop": {
        "alpha": 0.9,
        "eps": 1e-6,
        **DECAYED,
        "momentum": 0.8,
        "centered": True,
    },
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
#: Those that are one torch class; Muon is two.
every_torch_class = pytest.mark.parametrize("name", [n for n in OPTIMIZERS if n != "muon"])
#: Fields that lrsearch adds to torch's.
OWN_FIELDS = {"weight_decay_exclude_1d"}


def torch_class(name):
    return getattr(torch.optim, OPTIMIZERS[name].class_name)


def signature(name):
    """Each argument of the torch class and its default."""
    return {k: p.default for k, p in inspect.signature(torch_class(name)).parameters.items()}


def make_parameters():
    return [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2, 2))]


def make_module():
    return nn.ParameterList(make_parameters())


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
    built = build_optimizer({**optimizer, "lr": LR}, make_module())
    assert type(built) is type(expected)
    assert hyperparameters(built) == hyperparameters(expected)


@every_torch_class
def test_every_field_reaches_torch_under_its_own_name(name):
    built = build_optimizer({"name": name, "lr": 0.123, **ALL_FIELDS[name]}, make_module())
    left_alone = hyperparameters(torch_class(name)(make_parameters(), lr=0.123))
    fields = {k: v for k, v in ALL_FIELDS[name].items() if k not in OWN_FIELDS}
    expected = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    assert hyperparameters(built) == {**left_alone, **expected}
    assert all(left_alone[key] != value for key, value in expected.items() if key != "nesterov")


@every_torch_class
def test_fused_is_offered_where_torch_has_it_and_off_unless_asked_for(name):
    recipe = {"name": name, "lr": 0.1}
    assert not hyperparameters(build_optimizer(recipe, make_module())).get("fused")
    assert ("cpu" in OPTIMIZERS[name].fused) == ("fused" in signature(name))
    if OPTIMIZERS[name].fused:
        check_optimizer({**recipe, "fused": True}, "optimizer")
        fused = build_optimizer({**recipe, "fused": True}, make_module())
        assert hyperparameters(fused)["fused"] is True
        # No device of this type has a kernel, and no kernel takes sparse gradients.
        for module in (make_module().to("meta"), nn.EmbeddingBag(3, 2, sparse=True)):
            assert not hyperparameters(build_optimizer({**recipe, "fused": True}, module))["fused"]
    else:
        with pytest.raises(SpecError, match=r"^optimizer.fused = true, but torch has no fused "):
            check_optimizer({**recipe, "fused": True}, "optimizer")


# The registry against torch


@every_optimizer
def test_every_field_of_the_registry_is_an_argument_of_torch(name):
    info = OPTIMIZERS[name]
    own = {*OWN_FIELDS, "adamw_lr_factor", "adamw_betas", "adamw_eps"}
    assert info.fields.keys() - own <= signature(name).keys()
    assert info.ranges.keys() <= info.searchable().keys()
    assert info.defaults.keys() <= info.searchable().keys()


@every_torch_class
def test_the_default_of_every_searchable_field_is_that_of_torch(name):
    info = OPTIMIZERS[name]
    expected = signature(name)
    if "betas" in expected:
        expected["betas"] = list(expected["betas"])
        expected["beta1"], expected["beta2"] = expected["betas"]
    expected |= {key: list(v) for key, v in expected.items() if isinstance(v, tuple)}
    expected["weight_decay_exclude_1d"] = False
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
            "o.name = 'zzz' is not an optimizer; accepted: adadelta, adafactor, adagrad, adam, ",
        ),
        ({"lr": 0.1}, "o.name = None is not an optimizer; accepted: adadelta, adafactor, "),
        ({"name": "lbfgs", "lr": 1}, "o.name = 'lbfgs' is refused: LBFGS needs a closure"),
        ({"name": "sparse_adam", "lr": 1}, "o.name = 'sparse_adam' is refused: SparseAdam takes"),
        ({"name": "sgd"}, "o.lr is missing"),
        (
            {"name": "sgd", "lr": 0.1, "momentun": 0.9},
            "o.momentun is not a field of sgd; did you mean 'momentum'?",
        ),
        (
            {"name": "adagrad", "lr": 0.1, "momentum": 0.9},
            "o.momentum is not a field of adagrad; accepted: eps, fused, "
            "initial_accumulator_value, lr, lr_decay, weight_decay, weight_decay_exclude_1d",
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
        (
            {"name": "muon", "lr": 1, "ns_steps": 2.5},
            "o.ns_steps = 2.5, but a whole number from 1 to below 100 is accepted",
        ),
        (
            {"name": "muon", "lr": 1, "adjust_lr_fn": "spectral"},
            "o.adjust_lr_fn = 'spectral'; accepted: match_rms_adamw, original",
        ),
        ({"name": "muon", "lr": 1, "momentum": 0}, "o.nesterov = true needs a momentum above 0"),
        (
            {"name": "adafactor", "lr": 1, "beta2_decay": 0.8},
            "o.beta2_decay = 0.8, but up to 0 is accepted",
        ),
        ({"name": "rprop", "lr": 1, "etas": [1.2, 0.5]}, "o.etas[0] = 1.2, but above 0 to below 1"),
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
        (DECAY_RATE, [0, 0.999999], [1, 1.0]),
        (Limit(low=1, integer=True), [1, 7, 2.0], [0, 1.5, True]),
        (Word(words=("a", "b")), ["a"], ["c", None, 1]),
        (Anything(), [None, "x", 1, 0.5, True], [math.nan, math.inf]),
        (Limit(high=1.0, high_open=False), [0, 1], [1.0000001]),
        (BETAS, [(0, 0), [0.9, 0.999]], [(0.9,), (0.9, 0.9, 0.9), (0.9, 1.0), 0.9, "ab"]),
        (FLAG, [True, False], [0, 1, "true", None]),
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
        build_optimizer(optimizer, make_module())


# Training


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


# Parameter groups


def test_vectors_are_left_out_of_weight_decay_when_asked():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Conv2d(1, 2, 3))
    optimizer = {"name": "adamw", "lr": 0.1, "weight_decay": 0.2, "weight_decay_exclude_1d": True}
    decayed, spared = build_optimizer(optimizer, model).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.2, 0.0)
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in spared["params"]} == {1}
    (everything,) = build_optimizer(
        {**optimizer, "weight_decay_exclude_1d": False}, model
    ).param_groups
    assert len(everything["params"]) == 6


def test_muon_takes_matrices_and_adamw_the_rest_and_embeddings():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.Conv1d(1, 2, 3))
    built = build_optimizer({"name": "muon", "lr": 0.1, "weight_decay": 0.3}, model)
    assert isinstance(built, MuonWithAdamW)
    matrices, others = built.param_groups
    assert [p.shape for p in matrices["params"]] == [model[1].weight.shape]
    assert len(others["params"]) == 4
    assert (matrices["weight_decay"], others["weight_decay"]) == (0.3, 0.3)
    assert (matrices["lr"], others["lr"]) == (0.1, 0.1)
    assert matrices["adjust_lr_fn"] == "match_rms_adamw"


def test_muon_leaves_vectors_out_of_weight_decay_when_asked():
    optimizer = {"name": "muon", "lr": 0.1, "weight_decay_exclude_1d": True}
    groups = build_optimizer(optimizer, make_model()).param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]


def test_muon_of_a_model_of_matrices_alone_needs_no_adamw():
    built = build_optimizer({"name": "muon", "lr": 0.1}, nn.Linear(3, 2, bias=False))
    assert len(built.param_groups) == 1


def test_muon_needs_a_matrix():
    with pytest.raises(TaskError, match="muon needs a weight of two dimensions"):
        build_optimizer({"name": "muon", "lr": 0.1}, nn.LayerNorm(3))
