"""SearchSpace: what is sampled, in which units, and what a study file may say."""

import json
import math
from dataclasses import replace

import optuna
import pytest
from drawn import DrawnTrial
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.catalog.domains import Choice, Fixed, Range
from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.errors import SpecError
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.distinct import every
from lrsearch.space.parse import parse_space
from lrsearch.space.presets import PRESETS
from lrsearch.space.search_space import SearchSpace

DEFAULT = parse_space("default")
EVERYTHING = parse_space(
    {
        "optimizers": {name: {} for name in OPTIMIZERS if name != "rprop"},
        "schedules": {name: {} for name in SCHEDULES},
    }
)
#: A space of a user's own, with every way to write a field.
WRITTEN = {
    "optimizers": {
        "sgd": {
            "lr": {"low": "1e-3", "high": 1, "log": True},
            "momentum": {"low": 0.0, "high": 0.98},
            "nesterov": False,
            "weight_decay": [0, 1e-4, 1e-3],
        },
        "adam": {
            "lr": {"choices": [1e-3, 1e-2]},
            "beta2": {"low": 0.9, "high": 0.999},
            "amsgrad": [True, False],
            "eps": "1e-7",
        },
        "adamw": {
            "lr": {"low": 0.001, "high": 0.01, "step": 0.001},
            "betas": [[0.9, 0.999], [0.95, 0.99]],
        },
        "rmsprop": {"alpha": {"low": 0.9, "high": 0.999}, "momentum": 0.5},
    },
    "schedules": {
        "step": {"step_size": {"low": 0.1, "high": 1}, "gamma": [0.1, 0.3]},
        "multistep": {"milestones": [[0.5], [0.3, 0.6]]},
        "cosine": {"eta_min": 0.01},
        "cyclic": {"mode": ["triangular", "triangular2"]},
        "one_cycle": None,
    },
    "warmup": {"low": 0, "high": 0.1},
    "params": {
        "batch_size": [16, 32, 64],
        "layers": {"low": 1, "high": 9, "step": 2},
        "width": {"low": 8, "high": 512, "log": True},
        "dropout": {"low": 0.0, "high": 0.3},
        "activation": ["relu", "gelu", None],
        "bias": True,
    },
}
SPACES = {"default": DEFAULT, "everything": EVERYTHING, "written": parse_space(WRITTEN)}
every_space = pytest.mark.parametrize("name", SPACES)


def space_of(**changes):
    return parse_space({"optimizers": {"sgd": {}}, "schedules": {"constant": {}}, **changes})


def with_sgd(**fields):
    return space_of(optimizers={"sgd": fields})


# Sampling


@every_space
@given(data=st.data())
def test_whatever_is_suggested_is_a_legal_recipe(name, data):
    space = SPACES[name]
    fields = space.suggest(DrawnTrial(data))
    assert fields.keys() == {"optimizer", "schedule", "warmup", "params"}
    recipe = Recipe.from_dict(fields)
    assert recipe.to_dict() == {**recipe.to_dict(), **fields}


@given(data=st.data())
def test_a_range_that_a_user_writes_is_in_torchs_units(data):
    fields = SPACES["written"].suggest(DrawnTrial(data))
    optimizer, schedule, params = fields["optimizer"], fields["schedule"], fields["params"]
    match optimizer["name"]:
        case "sgd":
            assert 1e-3 <= optimizer["lr"] <= 1
            assert 0 <= optimizer["momentum"] <= 0.98
            assert optimizer["nesterov"] is False
            assert optimizer["weight_decay"] in (0, 1e-4, 1e-3)
        case "adam":
            assert optimizer["lr"] in (1e-3, 1e-2)
            assert 0.5 <= optimizer["betas"][0] <= 0.98
            assert 0.9 <= optimizer["betas"][1] <= 0.999
            assert optimizer["amsgrad"] in (True, False)
            assert optimizer["eps"] == 1e-7
        case "adamw":
            assert optimizer["lr"] == pytest.approx(0.001 * round(optimizer["lr"] / 0.001))
            assert 0.001 <= optimizer["lr"] <= 0.01
            assert optimizer["betas"] in ([0.9, 0.999], [0.95, 0.99])
        case "rmsprop":
            assert 0.9 <= optimizer["alpha"] <= 0.999
            assert optimizer["momentum"] == 0.5
    match schedule["name"]:
        case "step":
            assert 0.1 <= schedule["step_size"] <= 1
            assert schedule["gamma"] in (0.1, 0.3)
        case "multistep":
            assert schedule["milestones"] in ([0.5], [0.3, 0.6])
        case "cosine":
            assert schedule["eta_min"] == 0.01
    assert fields["warmup"] == 0 or schedule["name"] not in ("cyclic", "one_cycle")
    assert 0 <= fields["warmup"] <= 0.1
    assert params["batch_size"] in (16, 32, 64)
    assert params["layers"] in (1, 3, 5, 7, 9)
    assert type(params["width"]) is int
    assert 8 <= params["width"] <= 512
    assert 0 <= params["dropout"] <= 0.3
    assert params["activation"] in ("relu", "gelu", None)
    assert params["bias"] is True


@given(
    data=st.data(), momentum=st.floats(0, 0.999), low=st.floats(1e-6, 1), factor=st.floats(1, 1e6)
)
def test_the_lr_range_of_sgd_is_respected_whatever_the_momentum(data, momentum, low, factor):
    high = low * factor
    space = with_sgd(lr={"low": low, "high": high, "log": True}, momentum=momentum)
    trial = DrawnTrial(data)
    assert low <= space.suggest(trial)["optimizer"]["lr"] <= high
    for end, lr in zip(trial.bounds["sgd.lr"], (low, high), strict=True):
        given_end = DrawnTrial(data, given={**trial.params, "sgd.lr": end})
        assert space.suggest(given_end)["optimizer"]["lr"] == pytest.approx(lr, rel=1e-12)


@given(data=st.data())
def test_the_presets_lr_of_sgd_is_a_range_of_momentum_equivalent_lr(data):
    optimizer = with_sgd().suggest(DrawnTrial(data))["optimizer"]
    equivalent = optimizer["lr"] * 0.1 / (1 - optimizer["momentum"])
    assert 1e-3 * (1 - 1e-9) <= equivalent <= 1.0 * (1 + 1e-9)
    assert 0 <= optimizer["momentum"] <= 0.99


def test_a_decay_rate_is_sampled_by_what_it_leaves_to_one():
    class Middle:
        """Answers with the middle of each range, on its own scale."""

        def suggest_categorical(self, name, choices):
            return choices[0]

        def suggest_float(self, name, low, high, *, step=None, log=False):
            return math.sqrt(low * high) if log else (low + high) / 2

    for fields in ({}, {"momentum": {"low": 0.0, "high": 0.99}}):
        optimizer = with_sgd(**fields).suggest(Middle())["optimizer"]
        assert optimizer["momentum"] == pytest.approx(0.9)  # 1 - sqrt(0.01 * 1)
        assert optimizer["lr"] == pytest.approx(math.sqrt(1e-3 * 1.0))


def test_parameters_are_named_after_optimizer_and_schedule():
    names = set()
    for optimizer in ("sgd", "adamw"):
        for schedule in ("one_cycle", "cosine"):
            space = parse_space({"optimizers": [optimizer], "schedules": [schedule]})
            trial = optuna.create_study().ask()
            space.suggest(trial)
            names |= trial.params.keys()
    assert names == {
        "optimizer",
        "schedule",
        "warmup",
        "sgd.lr",
        "sgd.1-momentum",
        "sgd.nesterov",
        "sgd.weight_decay",
        "adamw.lr",
        "adamw.1-beta1",
        "adamw.weight_decay",
        "one_cycle.pct_start",
    }


@every_space
def test_optuna_samples_the_space_and_takes_recipes_back(name):
    space = SPACES[name]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=5))
    recipes = []
    for i in range(15):
        trial = study.ask()
        recipes.append(Recipe.from_dict(space.suggest(trial)))
        study.tell(trial, float(i % 4))
    for recipe in recipes:
        study.enqueue_trial(space.params_of(recipe.to_dict()))
        again = Recipe.from_dict(space.suggest(study.ask()))
        assert_same_recipe(again, recipe)


def test_nesterov_is_off_where_the_momentum_is_0():
    space = with_sgd(momentum={"choices": [0.0, 0.9]}, nesterov=True)
    trial = optuna.trial.FixedTrial(
        {
            "optimizer": "sgd",
            "schedule": "constant",
            "warmup": 0.0,
            "sgd.momentum": 0.0,
            "sgd.lr": 0.1,
            "sgd.weight_decay": 1e-4,
        }
    )
    assert space.suggest(trial)["optimizer"]["nesterov"] is False


# The way back


def assert_same_recipe(a, b):
    """Equal but for the last bits that the way to the sampling unit and back may cost."""
    assert nearly_equal(a.to_dict(), b.to_dict())


def nearly_equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(nearly_equal(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(nearly_equal, a, b))
    if type(a) is float:
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return type(a) is type(b) and a == b


@every_space
@given(data=st.data())
def test_params_of_is_the_inverse_of_suggest(name, data):
    space = SPACES[name]
    first = DrawnTrial(data)
    recipe = Recipe.from_dict(space.suggest(first))
    params = space.params_of(recipe.to_dict())
    assert params is not None
    assert params.keys() == first.params.keys()
    again = DrawnTrial(data, given=params)
    assert_same_recipe(Recipe.from_dict(space.suggest(again)), recipe)
    for name, (low, high) in again.bounds.items():
        assert low <= params[name] <= high


#: A recipe inside `with_sgd(nesterov=False)`.
INSIDE = {
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
    "schedule": {"name": "constant"},
}


def params_of(space, **changes):
    return space.params_of(Recipe.from_dict({**INSIDE, **changes}).to_dict())


def test_what_a_recipe_leaves_out_is_torchs_default():
    space = parse_space(
        {
            "optimizers": {"adam": {"beta2": [0.99, 0.999, 0.9], "eps": [1e-8, 1e-6, 1e-4]}},
            "schedules": {"step": {"gamma": [0.1, 0.3, 0.5]}},
        }
    )
    params = params_of(space, optimizer={"name": "adam", "lr": 1e-3}, schedule="step")
    assert params == {
        "optimizer": "adam",
        "schedule": "step",
        "adam.lr": 1e-3,
        "adam.1-beta1": pytest.approx(0.1),
        "adam.beta2": 0.999,
        "adam.eps": 1e-8,
        "step.step_size": pytest.approx(1 / 3),
        "step.gamma": 0.1,
        "warmup": 0.0,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": {"name": "adam", "lr": 0.1}},
        {"schedule": "cosine"},
        {"warmup": 0.03},
        {"optimizer": {**INSIDE["optimizer"], "lr": 1.1}},
        {"optimizer": {**INSIDE["optimizer"], "momentum": 0.995}},
        {"optimizer": {**INSIDE["optimizer"], "nesterov": True}},
        {"optimizer": {**INSIDE["optimizer"], "weight_decay": 0.0}},
        {"optimizer": {**INSIDE["optimizer"], "dampening": 0.1}},
    ],
    ids=str,
)
def test_a_recipe_outside_the_space_has_no_params(changes):
    assert params_of(with_sgd(nesterov=False)) is not None
    assert params_of(with_sgd(nesterov=False), **changes) is None


def test_a_fused_recipe_is_where_it_would_be_unfused():
    plain, fused = INSIDE["optimizer"], {**INSIDE["optimizer"], "fused": True}
    for space in (with_sgd(nesterov=False), with_sgd(nesterov=False, fused=False)):
        assert params_of(space, optimizer=fused) == params_of(space, optimizer=plain) is not None
    chosen = with_sgd(nesterov=False, fused=[True, False])
    assert params_of(chosen, optimizer=fused)["sgd.fused"] is True
    assert params_of(chosen, optimizer=plain)["sgd.fused"] is False


@pytest.mark.parametrize("nesterov", [True, False, [True, False]], ids=str)
def test_a_recipe_without_momentum_is_inside_whatever_the_space_says_of_nesterov(nesterov):
    space = with_sgd(momentum={"choices": [0.0, 0.9]}, nesterov=nesterov)
    params = params_of(space, optimizer={"name": "sgd", "lr": 0.1, "weight_decay": 1e-4})
    assert space.suggest(optuna.trial.FixedTrial(params))["optimizer"]["nesterov"] is False


def test_a_value_between_the_steps_of_a_range_is_outside():
    space = space_of(
        params={"layers": {"low": 1, "high": 9, "step": 2}, "width": {"low": 1, "high": 8}}
    )
    assert params_of(space, params={"layers": 3, "width": 4}) is not None
    assert params_of(space, params={"layers": 4, "width": 4}) is None
    assert params_of(space, params={"layers": 3, "width": 4.5}) is None
    assert params_of(space, params={"layers": 3}) is None


@pytest.mark.parametrize("end", [0, 1])
@given(momentum=st.floats(0, 0.99), low=st.floats(1e-5, 0.1), factor=st.floats(1, 100))
def test_the_ends_of_a_range_are_inside(end, momentum, low, factor):
    ends = low, low * factor
    space = with_sgd(
        lr={"low": ends[0], "high": ends[1]}, momentum={"low": 0, "high": 0.99}, nesterov=False
    )
    optimizer = {**INSIDE["optimizer"], "lr": ends[end], "momentum": momentum}
    assert params_of(space, optimizer=optimizer) is not None


@pytest.mark.parametrize(
    ("optimizer", "key"),
    [
        (optimizer, key)
        for optimizer, info in OPTIMIZERS.items()
        for key, domain in info.ranges.items()
        if isinstance(domain, Range) and domain.in_unit
    ],
)
def test_the_ends_of_a_preset_in_sampling_units_are_inside(optimizer, key):
    space = parse_space({"optimizers": [optimizer], "schedules": ["constant"], "warmup": 0.0})
    domain = OPTIMIZERS[optimizer].ranges[key]
    study = optuna.create_study()
    for end in (domain.low, domain.high):
        name = f"{optimizer}.1-{key}" if domain.unit == "complement" else f"{optimizer}.{key}"
        study.enqueue_trial({name: end})
        recipe = Recipe.from_dict(space.suggest(study.ask()))
        params = space.params_of(recipe.to_dict())
        assert params is not None
        assert params[name] == pytest.approx(end, rel=1e-9)
        assert domain.low <= params[name] <= domain.high  # else Optuna warns


# Storage


@every_space
def test_a_space_survives_its_dict_and_json(name):
    space = SPACES[name]
    assert SearchSpace.from_dict(space.to_dict()) == space
    assert SearchSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space


def test_a_stored_space_does_not_change_with_the_presets(monkeypatch):
    stored = DEFAULT.to_dict()
    other = replace(PRESETS["default"], optimizers={"adam": {}})
    monkeypatch.setitem(PRESETS, "default", other)
    assert SearchSpace.from_dict(stored) == DEFAULT
    assert parse_space("default") != DEFAULT


# Reading a study file


def test_empty_fields_are_the_presets():
    space = parse_space({"optimizers": {"adamw": {}}, "schedules": {"step": None}})
    assert space.optimizers == {"adamw": OPTIMIZERS["adamw"].ranges}
    assert space.schedules == {"step": SCHEDULES["step"].ranges}


def test_what_is_left_out_is_the_default_preset():
    assert parse_space({}) == DEFAULT
    space = parse_space({"optimizers": {"adam": {}}})
    assert (space.schedules, space.warmup) == (DEFAULT.schedules, DEFAULT.warmup)
    assert parse_space({"schedules": ["cosine"]}).optimizers == DEFAULT.optimizers
    assert DEFAULT.params == {}


@pytest.mark.parametrize("names", ["adam", ["adam"], {"adam": {}}, {"adam": None}], ids=str)
def test_names_alone_are_the_presets_of_these(names):
    assert parse_space({"optimizers": names}).optimizers == {"adam": OPTIMIZERS["adam"].ranges}


def test_fields_that_are_named_replace_the_presets_and_the_others_stay():
    fields = with_sgd(momentum=0.9).optimizers["sgd"]
    assert fields == {**OPTIMIZERS["sgd"].ranges, "momentum": Fixed(value=0.9)}


def test_betas_replace_the_presets_halves():
    space = parse_space({"optimizers": {"adam": {"betas": [0.9, 0.99]}}})
    assert space.optimizers["adam"].keys() == {"lr", "betas"}
    assert space.optimizers["adam"]["betas"] == Fixed(value=(0.9, 0.99))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sgd.lr", [0.01, 0.1]),
        ("sgd.lr", ["1e-3", 1]),
        ("sgd.momentum", [0.8, 0.95]),
        ("sgd.weight_decay", [0, 1e-4]),
        ("adamw.weight_decay", [0.0, 0.1]),
        ("rmsprop.alpha", [0.9, 0.99]),
        ("adagrad.lr", [0.01, 0.1]),
        ("step.step_size", [0.2, 0.5]),
        ("exponential.final", [0.001, 0.1]),
        ("plateau.patience", [0.1, 0.2]),
        ("one_cycle.pct_start", [0.1, 0.3]),
    ],
    ids=str,
)
def test_two_numbers_for_a_field_that_is_usually_a_range_are_refused(field, value):
    owner, key = field.split(".")
    kind = "optimizers" if owner in OPTIMIZERS else "schedules"
    with pytest.raises(SpecError) as error:
        parse_space({kind: {owner: {key: value}}})
    assert str(error.value) == (
        f"space.{kind}.{field} = {value!r} is ambiguous: write {{low: {value[0]}, high: "
        f"{value[1]}}} for a range (log: true for a log scale) or {{choices: {value!r}}} for two "
        f"choices"
    )
    for meant in ({"choices": value}, {"low": value[0], "high": value[1]}, [*value, 0.25]):
        parse_space({kind: {owner: {key: meant}}})


@pytest.mark.parametrize(
    ("changes", "domain"),
    [
        ({"optimizers": {"sgd": {"nesterov": [True, False]}}}, Choice(choices=(True, False))),
        ({"optimizers": {"rmsprop": {"momentum": [0, 0.9]}}}, Choice(choices=(0, 0.9))),
        ({"optimizers": {"adam": {"eps": ["1e-8", "1e-6"]}}}, Choice(choices=(1e-8, 1e-6))),
        ({"optimizers": {"adam": {"betas": [0.9, 0.99]}}}, Fixed(value=(0.9, 0.99))),
        ({"schedules": {"step": {"gamma": [0.1, 0.3]}}}, Choice(choices=(0.1, 0.3))),
        ({"schedules": {"cosine": {"eta_min": [0, 0.1]}}}, Choice(choices=(0, 0.1))),
        ({"schedules": {"multistep": {"milestones": [0.3, 0.6]}}}, Fixed(value=(0.3, 0.6))),
        (
            {"schedules": {"multistep": {"milestones": [[0.5], [0.3, 0.6]]}}},
            Choice(choices=((0.5,), (0.3, 0.6))),
        ),
    ],
    ids=str,
)
def test_two_values_for_a_field_of_choices_are_choices(changes, domain):
    ((kind, owners),) = changes.items()
    ((owner, fields),) = owners.items()
    (key,) = fields
    assert getattr(parse_space(changes), kind)[owner][key] == domain


def test_two_params_or_warm_ups_are_choices():
    space = space_of(warmup=[0, 0.1], params={"batch_size": [32, 64]})
    assert space.warmup == Choice(choices=(0, 0.1))
    assert space.params == {"batch_size": Choice(choices=(32, 64))}


def test_a_warm_up_in_steps_takes_the_place_of_the_fraction():
    space = space_of(warmup_steps=[0, 100])
    assert space.warm_up == ("warmup_steps", Choice(choices=(0, 100)))
    assert space.warmup == Fixed(value=0.0)
    assert SearchSpace.from_dict(space.to_dict()) == space
    assert "warmup_steps" not in space_of().to_dict()


def test_a_recipe_with_a_warm_up_in_steps_is_sampled_and_found_again():
    fixed = {"lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
    wsd = {"decay": 0.2, "shape": "linear"}
    space = parse_space(
        {"optimizers": {"sgd": fixed}, "schedules": {"wsd": wsd}, "warmup_steps": [0, 7]}
    )
    found = every(space, most=2)
    assert [(each["warmup"], each["warmup_steps"]) for each in found] == [(0.0, 0), (0.0, 7)]
    assert Recipe.from_dict(found[1]).warmup_steps == 7
    assert [space.params_of(each)["warmup_steps"] for each in found] == [0, 7]
    assert space.params_of({**found[1], "warmup_steps": 8}) is None
    assert space.params_of({**found[1], "warmup_steps": None, "warmup": 0.1}) is None
    assert parse_space({"optimizers": ["sgd"]}).params_of(found[1]) is None


@pytest.mark.parametrize("owner", ["sgd", "adam", "adagrad"])
def test_a_range_of_whole_numbers_is_continuous_for_an_optimizer(owner):
    space = parse_space({"optimizers": {owner: {"weight_decay": {"low": 0, "high": 1}}}})
    domain = space.optimizers[owner]["weight_decay"]
    assert (domain.low, domain.high, domain.integer) == (0, 1, False)


def test_a_range_of_whole_numbers_is_of_integers_for_a_param():
    assert space_of(params={"width": {"low": 8, "high": 64}}).params["width"].integer
    assert not space_of(params={"width": {"low": 8, "high": 64.0}}).params["width"].integer


@pytest.mark.parametrize(
    ("space", "message"),
    [
        # the whole
        ("defaults", "space = 'defaults' is not a preset; did you mean 'default'?"),
        ("x", "space = 'x' is not a preset; accepted: default"),
        (None, "space = None, but a preset's name or a mapping is accepted"),
        (3, "space = 3, but a preset's name or a mapping is accepted"),
        (
            {"optimizer": {}},
            "space.optimizer is not a field of a space; did you mean",
        ),
        ({"optimizers": {}}, "space.optimizers is empty or no mapping; write e.g. {adamw: {}}"),
        ({"optimizers": None}, "space.optimizers is empty or no mapping; write e.g. {adamw: {}}"),
        ({"optimizers": 5}, "space.optimizers is empty or no mapping; write e.g. {adamw: {}}"),
        ({"schedules": []}, "space.schedules is empty or no mapping; write e.g. {adamw: {}}"),
        (
            {"optimizers": ["adamw", {"sgd": {}}]},
            "space.optimizers[1] = {'sgd': {}}, but a list here holds names only",
        ),
        (
            {"optimizers": {"sdg": {}}},
            "space.optimizers.sdg = 'sdg' is not an optimizer; did you mean 'sgd'?",
        ),
        (
            {"schedules": ["cosin"]},
            "space.schedules.cosin = 'cosin' is not a schedule; did you mean 'cosine'?",
        ),
        (
            {"optimizers": {"sgd": 0.1}},
            "space.optimizers.sgd = 0.1, but a mapping of fields is needed; {} = preset",
        ),
        # fields
        (
            {"optimizers": {"sgd": {"momentun": 0.9}}},
            "space.optimizers.sgd.momentun is not a field of sgd; did you mean 'momentum'?",
        ),
        (
            {"optimizers": {"adam": {"beta": 0.9}}},
            "space.optimizers.adam.beta is not a field of adam; did you mean 'betas'?",
        ),
        (
            {"schedules": {"step": {"size": 0.3}}},
            "space.schedules.step.size is not a field of step; did you mean 'step_size'?",
        ),
        (
            {"schedules": {"constant": {"lr": 0.3}}},
            "space.schedules.constant.lr is not a field of constant; it has none",
        ),
        # ranges
        (
            {"optimizers": {"sgd": {"lr": {"low": 0.0, "high": 1, "log": True}}}},
            "space.optimizers.sgd.lr.low = 0.0, but a log range starts above 0; try 1e-6",
        ),
        (
            {"optimizers": {"sgd": {"lr": {"low": 0.5, "high": 0.1}}}},
            "space.optimizers.sgd.lr.low = 0.5 is above space.optimizers.sgd.lr.high = 0.1; "
            "swap them",
        ),
        (
            {"optimizers": {"sgd": {"lr": {"low": 0.5}}}},
            "space.optimizers.sgd.lr has no `high`; a range is {low, high, log, step}",
        ),
        (
            {"optimizers": {"sgd": {"lr": {"high": 0.5}}}},
            "space.optimizers.sgd.lr has no `low`; a range is {low, high, log, step}",
        ),
        (
            {"optimizers": {"sgd": {"lr": {"low": "a", "high": 1}}}},
            "space.optimizers.sgd.lr.low = 'a', but a finite number is needed",
        ),
        (
            {"optimizers": {"sgd": {"lr": {"low": 1, "high": math.inf}}}},
            "space.optimizers.sgd.lr.high = inf, but a finite number is needed",
        ),
        (
            {"optimizers": {"sgd": {"lr": {"low": 0.1, "high": 1, "logg": True}}}},
            "space.optimizers.sgd.lr.logg is not a field of a range; did you mean 'log'?",
        ),
        (
            {"optimizers": {"sgd": {"lr": {"low": 0.1, "high": 1, "log": "yes"}}}},
            "space.optimizers.sgd.lr.log = 'yes', but true or false is accepted",
        ),
        (
            {"optimizers": {"sgd": {"lr": {"low": 0.1, "high": 1, "step": 0}}}},
            "space.optimizers.sgd.lr.step = 0, but a positive number is needed",
        ),
        (
            {"optimizers": {"sgd": {"lr": {"low": 0.1, "high": 1, "log": True, "step": 0.1}}}},
            "space.optimizers.sgd.lr.step cannot go with log: true; leave one of them out",
        ),
        (
            {"optimizers": {"adam": {"betas": {"low": 0.1, "high": 0.9}}}},
            "space.optimizers.adam.betas is a list of numbers; a range cannot stand here, "
            "choices can",
        ),
        # choices and values
        (
            {"optimizers": {"sgd": {"lr": []}}},
            "space.optimizers.sgd.lr is an empty list; give at least one choice",
        ),
        (
            {"optimizers": {"sgd": {"lr": [0.1, 0.2, 0.1]}}},
            "space.optimizers.sgd.lr = [0.1, 0.2, 0.1] names a choice twice",
        ),
        (
            {"optimizers": {"adam": {"betas": 0.9}}},
            "space.optimizers.adam.betas = 0.9, but a list of numbers is needed",
        ),
        (
            {"optimizers": {"adam": {"betas": [0.9, 0.99, 0.999]}}},
            "space.optimizers.adam.betas = (0.9, 0.99, 0.999), but two numbers are needed",
        ),
        (
            {"optimizers": {"adam": {"betas": ["a", "b"]}}},
            "space.optimizers.adam.betas = ['a', 'b'], but a list here holds numbers",
        ),
        (
            {"optimizers": {"adam": {"betas": [0.9, 0.99], "beta2": 0.9}}},
            "space.optimizers.adam.betas and space.optimizers.adam.beta2 are both given; "
            "leave one out",
        ),
        ({"params": {"x": {"y": 1}}}, "space.params.x.y is not a field of a range; accepted: "),
        ({"params": {"x": [[]]}}, "space.params.x[0] = [], but a list here holds numbers"),
        ({"params": {"x": math.inf}}, "space.params.x = inf, but it must be finite"),
        ({"params": {"x": {1, 2}}}, "space.params.x = {1, 2}, but a number, word, flag or list"),
        ({"params": [1]}, "space.params = [1], but a mapping of names to values is needed"),
        # limits
        (
            {"optimizers": {"sgd": {"lr": 0}}},
            "space.optimizers.sgd.lr = 0, but above 0 is accepted",
        ),
        (
            {"optimizers": {"sgd": {"momentum": {"low": 0.9, "high": 1.0}}}},
            "space.optimizers.sgd.momentum.high = 1.0, but from 0 to below 1 is accepted",
        ),
        (
            {"optimizers": {"sgd": {"momentum": {"low": -0.1, "high": 0.9}}}},
            "space.optimizers.sgd.momentum.low = -0.1, but from 0 to below 1 is accepted",
        ),
        (
            {"optimizers": {"sgd": {"nesterov": [True, 2]}}},
            "space.optimizers.sgd.nesterov = 2, but true or false is accepted",
        ),
        (
            {"schedules": {"step": {"gamma": [0.1, 2.0]}}},
            "space.schedules.step.gamma = 2.0, but above 0 to below 1 is accepted",
        ),
        (
            {"schedules": {"cyclic": {"mode": ["triangular", "exp_range"]}}},
            "space.schedules.cyclic.mode = 'exp_range'; ",
        ),
        (
            {"schedules": {"multistep": {"milestones": [[0.5], [0.6, 0.3]]}}},
            "space.schedules.multistep.milestones = [0.6, 0.3], but rising fractions in (0, 1) "
            "are needed",
        ),
        ({"warmup": 1.0}, "space.warmup = 1.0, but from 0 to below 1 is accepted"),
        ({"warmup": [0, 5]}, "space.warmup = 5, but from 0 to below 1 is accepted"),
        ({"warmup": None}, "space.warmup = None, but a finite number is needed"),
        # what could only be sampled illegally
        (
            {"schedules": ["cosine", "one_cycle"], "warmup": 0.05},
            "space.warmup is never 0, but one_cycle takes no warm-up (it warms up by itself); add "
            "0.0 to warmup or leave one_cycle out",
        ),
        (
            {"optimizers": ["sgd", "rprop"], "schedules": ["cosine"]},
            "space: rprop reads lr at its first step only, so no schedule or warm-up can drive it; "
            "leave rprop or cosine out",
        ),
        (
            {"optimizers": ["rprop"], "schedules": ["constant"], "warmup": 0.05},
            "space.warmup is never 0, but rprop takes no warm-up (rprop reads lr at its first step",
        ),
        (
            {"schedules": {"cyclic": {"step_size_up": {"low": 0.1, "high": 0.6}}}},
            "space.schedules.cyclic: 2 x step_size_up 0.6 = 1.2, but together they are at most 1",
        ),
        ({"preset": "fast"}, "space = 'fast' is not a preset; accepted: default, finetune, quick,"),
        ({"optimizers": {"lbfgs": {}}}, "space.optimizers.lbfgs = 'lbfgs' is refused: LBFGS needs"),
        (
            {"params": {"batch_size": [0, 32]}},
            "space.params.batch_size = 0, but a whole number from 1 is accepted",
        ),
        (
            {"optimizers": {"muon": {"ns_steps": {"low": 3, "high": 5.5}}}},
            "space.optimizers.muon.ns_steps.high = 5.5, but a whole number from 1 to below 100",
        ),
        (
            {"schedules": ["plateau"], "warmup": {"low": 0.01, "high": 0.1}},
            "space.warmup is never 0, but plateau takes no warm-up (torch's SequentialLR refuses "
            "ReduceLROnPlateau); add 0.0 to "
            "warmup or leave plateau out",
        ),
        (
            {"schedules": ["plateau"], "warmup_steps": [10, 100]},
            "space.warmup_steps is never 0, but plateau takes no warm-up (torch's SequentialLR "
            "refuses ReduceLROnPlateau); add 0 to warmup_steps or leave plateau out",
        ),
        (
            {"warmup_steps": 10, "warmup": 0.1},
            "space.warmup and space.warmup_steps are both given; leave one out",
        ),
        (
            {"warmup_steps": 0.05},
            "space.warmup_steps = 0.05, but a whole number from 0 is accepted",
        ),
        ({"warmup_steps": -1}, "space.warmup_steps = -1, but a whole number from 0 is accepted"),
        (
            {"optimizers": ["adagrad"], "schedules": {"one_cycle": {"cycle_momentum": True}}},
            "space.schedules.one_cycle.cycle_momentum = true needs momentum, and adagrad has none",
        ),
        (
            {"optimizers": ["sgd"], "schedules": {"one_cycle": {"cycle_momentum": True}}},
            "space.schedules.one_cycle.cycle_momentum = true sets the momentum that "
            "space.optimizers.sgd searches; fix momentum there or write cycle_momentum: false",
        ),
        (
            {"optimizers": ["adam"], "schedules": {"one_cycle": {"cycle_momentum": [False, True]}}},
            "space.schedules.one_cycle.cycle_momentum = true sets the momentum that "
            "space.optimizers.adam searches; fix beta1 there or write cycle_momentum: false",
        ),
        (
            {"optimizers": {"sgd": {"nesterov": True, "momentum": 0}}},
            "space.optimizers.sgd.nesterov = true needs a momentum",
        ),
        (
            {"optimizers": {"sgd": {"dampening": 0.1}}},
            "space.optimizers.sgd.dampening needs nesterov: false; torch refuses both together",
        ),
        (
            {"optimizers": {"rmsprop": {"fused": [True, False]}}},
            "space.optimizers.rmsprop.fused = true, but torch has no fused RMSprop",
        ),
    ],
    ids=str,
)
def test_a_bad_space_is_refused_in_one_line_that_names_place_and_value(space, message):
    with pytest.raises(SpecError) as error:
        parse_space(space)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "space",
    [
        {"schedules": ["one_cycle"], "warmup": {"low": 0, "high": 0.1}},
        {
            "optimizers": {"sgd": {"momentum": 0.9}, "adam": {"beta1": 0.9}},
            "schedules": {"one_cycle": {"cycle_momentum": True}},
        },
        {
            "optimizers": {"adam": {"betas": [0.9, 0.99]}},
            "schedules": {"one_cycle": {"cycle_momentum": True}},
        },
        {"optimizers": {"sgd": {"dampening": 0.1, "nesterov": False}}},
        {"optimizers": {"rmsprop": {"fused": False}, "sgd": {"fused": True}}},
    ],
    ids=str,
)
@given(data=st.data())
def test_what_is_legal_in_part_is_sampled_in_its_legal_part(space, data):
    Recipe.from_dict(parse_space(space).suggest(DrawnTrial(data)))


# Presets


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_legal_space(name):
    assert parse_space(name) == parse_space({"preset": name})


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_number_of_a_schedules_preset_is_inside_the_limits(name):
    info = SCHEDULES[name]
    for key, domain in info.ranges.items():
        if isinstance(domain, Range):
            assert domain.unit == "plain"
            assert domain.low < domain.high
            values = [domain.low, domain.high]
        else:
            values = [domain.value] if isinstance(domain, Fixed) else domain.choices
        for value in values:
            info.fields[key].check(value, key)


@pytest.mark.parametrize("kind", ["optimizers", "schedules"])
def test_the_preset_of_every_entry_of_the_registries_can_be_searched(kind):
    for name in OPTIMIZERS if kind == "optimizers" else SCHEDULES:
        partner = {"schedules": ["constant"]} if name == "rprop" else {}
        parse_space({kind: [name], **partner})


def test_choices_that_are_equal_are_one_to_the_sampler():
    betas = [[0, 0.9], [0.5, 0.999]]
    space = space_of(optimizers={"adam": {"lr": 0.1, "betas": betas}})
    recipe = {
        "optimizer": {"name": "adam", "lr": 0.1, "betas": [0.0, 0.9]},
        "schedule": {"name": "constant"},
        "warmup": 0.0,
        "params": {},
    }
    params = space.params_of(recipe)
    assert params["adam.betas"] == "[0, 0.9]"
    assert space.suggest(optuna.trial.FixedTrial(params))["optimizer"]["betas"] == [0, 0.9]


def test_a_param_that_the_space_has_not_is_outside():
    recipe = {
        "optimizer": {"name": "adam", "lr": 1e-3},
        "schedule": {"name": "constant"},
        "warmup": 0.0,
        "params": {"dropout": 0.5},
    }
    optimizers = {"adam": {"lr": 1e-3, "beta1": 0.9}}
    assert space_of(optimizers=optimizers).params_of(recipe) is None
    searched = space_of(optimizers=optimizers, params={"dropout": [0.0, 0.5]})
    assert searched.params_of(recipe)["params.dropout"] == 0.5


@pytest.mark.parametrize(
    ("searched", "own", "accumulate"), [(128, 16, 1), (128, None, 1), (None, 128, 1), (32, 16, 4)]
)
def test_sgds_lr_follows_the_samples_of_a_step(searched, own, accumulate):
    """A searched batch size goes before the task's own."""
    params = {"batch_size": [searched]} if searched else {}
    space = space_of(optimizers={"sgd": {"momentum": 0.9, "nesterov": False}}, params=params)
    trial = optuna.trial.FixedTrial(
        {
            "optimizer": "sgd",
            "schedule": "constant",
            "sgd.lr": 0.1,
            "sgd.weight_decay": 1e-4,
            "warmup": 0.0,
            "params.batch_size": searched,
        }
    )
    recipe = space.suggest(trial, lambda params: own, accumulate=accumulate)
    assert recipe["optimizer"]["lr"] == pytest.approx(0.2)
    recipe |= {"batch_size": own, "accumulate": accumulate}
    assert space.params_of(recipe, own)["sgd.lr"] == pytest.approx(0.1)
