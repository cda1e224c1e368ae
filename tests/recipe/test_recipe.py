"""Recipe: a frozen value that survives every file format, and builds what it says."""

import itertools
import json

import pytest
import torch
import yaml
from drawn import DrawnTrial
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.errors import SpecError
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.parse import parse_space
from lrsearch.user_input import to_yaml

EVERYTHING = parse_space(
    {
        "optimizers": {name: {} for name in OPTIMIZERS if name != "rprop"},
        "schedules": {name: {} for name in SCHEDULES},
        "warmup": {"low": 0.0, "high": 0.5},
    }
)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**40), 2**40)
# PyYAML itself loses some control characters and line separators.
text = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=8)
words = text | st.sampled_from(["1e-3", "yes", "null", "~", "0x10", "nan", "-.inf"])
printable = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=8)
positive = st.floats(1e-300, 1e300)


@st.composite
def recipes(draw):
    """Any recipe: what a space gives, with any horizon and anything as params."""
    fields = EVERYTHING.suggest(DrawnTrial(draw(st.data())))
    horizon = draw(st.sampled_from(["epochs", "steps"]))
    ema = draw(st.none() | st.fixed_dictionaries({"epochs": positive}))
    fields |= {
        horizon: draw(st.integers(1, 10**6)),
        "params": draw(st.dictionaries(words, numbers | words | st.booleans() | st.none())),
        "batch_size": draw(st.none() | st.integers(1, 4096)),
        "clip_norm": draw(st.none() | positive),
        "precision": draw(st.sampled_from(["fp32", "bf16", "fp16"])),
        "accumulate": draw(st.integers(1, 9)),
        "ema": ema,
        "weights": draw(st.sampled_from(["raw", "ema"])) if ema else "raw",
        "seed": draw(st.integers(0, 2**31)),
    }
    return Recipe.from_dict(fields)


RECIPE = Recipe.from_dict(
    {
        "optimizer": {"name": "sgd", "lr": 0.0521, "momentum": 0.9, "nesterov": True},
        "schedule": {"name": "cosine"},
        "warmup": 0.05,
        "epochs": 10,
    }
)


# Round trips


@given(recipes())
def test_a_recipe_survives_a_dict_and_json(recipe):
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    text = json.dumps(recipe.to_dict(), allow_nan=False)
    assert Recipe.from_dict(json.loads(text)) == recipe


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
@given(recipe=recipes())
def test_a_saved_recipe_loads_as_the_same_recipe(recipe, suffix, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipes") / f"best{suffix}"
    recipe.save(path)
    assert Recipe.load(path) == recipe


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_yaml_gives_back_every_float_to_the_last_bit(number):
    written = to_yaml({"lr": number})
    assert "!" not in written  # no tags: the file is for people
    loaded = yaml.safe_load(written)["lr"]
    assert type(loaded) is float
    assert loaded.hex() == number.hex()


def test_a_saved_json_recipe_is_json_and_a_yaml_one_is_not(tmp_path):
    RECIPE.save(tmp_path / "best.json")
    RECIPE.save(tmp_path / "best.yaml")
    assert json.loads((tmp_path / "best.json").read_text()) == RECIPE.to_dict()
    assert (tmp_path / "best.yaml").read_text().startswith("optimizer:\n  name: sgd\n")


def test_the_lists_of_a_recipe_are_written_as_lists():
    recipe = Recipe.from_dict(
        {
            "optimizer": {"name": "adam", "lr": 0.1, "betas": (0.8, 0.99)},
            "schedule": {"name": "multistep", "milestones": (0.5, 0.75)},
        }
    )
    content = yaml.safe_load(to_yaml(recipe.to_dict()))
    assert content["optimizer"]["betas"] == [0.8, 0.99]
    assert content["schedule"]["milestones"] == [0.5, 0.75]


# Reading what people write


def test_a_number_that_yaml_takes_for_a_string_is_a_number(tmp_path):
    path = tmp_path / "best.yaml"
    path.write_text(
        "optimizer: {name: adam, lr: 1e-3, betas: [9e-1, 0.999], eps: 1E-8}\n"
        "schedule: {name: exponential, final: 1e-2}\n"
        "epochs: 1e1\n"
        "params: {width: 1e2, activation: relu}\n"
    )
    assert isinstance(yaml.safe_load(path.read_text())["optimizer"]["lr"], str)
    recipe = Recipe.load(path)
    assert recipe.optimizer == {"name": "adam", "lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-8}
    assert recipe.schedule == {"name": "exponential", "final": 0.01}
    assert recipe.epochs == 10
    assert recipe.params == {"width": 100.0, "activation": "relu"}


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "infinity"])
def test_a_word_that_only_python_takes_for_a_number_stays_a_word(word):
    recipe = Recipe.from_dict({**RECIPE.to_dict(), "params": {"fill": word}})
    assert recipe.params == {"fill": word}


def test_a_schedule_may_be_just_its_name_and_is_constant_if_left_out():
    optimizer = {"name": "sgd", "lr": 0.1}
    assert Recipe.from_dict({"optimizer": optimizer}).schedule == {"name": "constant"}
    assert Recipe.from_dict({"optimizer": optimizer, "schedule": "linear"}).schedule == {
        "name": "linear"
    }


def test_a_recipe_cannot_be_changed():
    with pytest.raises(Exception, match="frozen"):
        RECIPE.epochs = 3


# Errors

SGD = {"name": "sgd", "lr": 0.1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (5, "r = 5, but a mapping with `optimizer` is needed"),
        ([], "r = [], but a mapping with `optimizer` is needed"),
        ({}, "r: optimizer is missing"),
        ({"optimizer": 3}, "r: optimizer = 3: a mapping"),
        ({"optimizer": "sgd"}, "r: optimizer.lr is missing"),
        (
            {"optimizer": {"name": "sdg", "lr": 0.1}},
            "r: optimizer.name = 'sdg' is not an optimizer; did you mean 'sgd'?",
        ),
        ({"optimizer": {"name": "sgd", "lr": "-1e-3"}}, "r: optimizer.lr = -0.001, but above 0"),
        (
            {"optimizer": SGD, "schedule": "cosin"},
            "r: schedule.name = 'cosin' is not a schedule; did you mean 'cosine'?",
        ),
        (
            {"optimizer": SGD, "schedule": {"name": "step", "gamma": 2}},
            "r: schedule.gamma = 2, but above",
        ),
        ({"optimizer": SGD, "warmup": 1}, "r: warmup = 1: a number below 1 is accepted"),
        ({"optimizer": SGD, "warmup": -0.1}, "r: warmup = -0.1: at least 0"),
        ({"optimizer": SGD, "epochs": 0}, "r: epochs = 0: at least 1 is accepted"),
        ({"optimizer": SGD, "epochs": 2.5}, "r: epochs = 2.5: a whole number is accepted"),
        (
            {"optimizer": SGD, "epochs": 3, "steps": 4},
            "r: epochs and steps are both given; leave one of them out",
        ),
        ({"optimizer": SGD, "clip_norm": 0}, "r: clip_norm = 0: a number above 0 is accepted"),
        ({"optimizer": SGD, "batch_size": 0}, "r: batch_size = 0: at least 1"),
        (
            {"optimizer": SGD, "precision": "fp8"},
            "r: precision = 'fp8': 'fp32', 'bf16' or 'fp16' is accepted",
        ),
        (
            {"optimizer": {**SGD, "fused": True}, "precision": "fp16"},
            "r: optimizer.fused = true, but not with precision fp16, whose loss scaler skips",
        ),
        ({"optimizer": SGD, "accumulate": 0}, "r: accumulate = 0: at least 1"),
        (
            {"optimizer": SGD, "ema": {"decay": 0.9}},
            "r: ema = {'decay': 0.9}, but {epochs: 1.0} or null is accepted",
        ),
        (
            {"optimizer": SGD, "ema": {"epochs": 0}},
            "r: ema = {'epochs': 0.0}, but {epochs: 1.0} or null is accepted",
        ),
        ({"optimizer": SGD, "weights": "ema"}, "r: weights = 'ema' needs ema: {epochs: 1.0}"),
        ({"optimizer": SGD, "weights": "both"}, "r: weights = 'both': 'raw' or"),
        (
            {"optimizer": SGD, "warmup": 0.1, "schedule": "one_cycle"},
            "r: warmup = 0.1 cannot go with one_cycle: it warms up by itself; use warmup 0",
        ),
        (
            {"optimizer": SGD, "epoch": 3},
            "r: epoch is not a field of a recipe; did you mean 'epochs'?",
        ),
        (
            {"optimizer": SGD, "xyz": 3},
            "r: xyz is not a field of a recipe; accepted: accumulate, batch_size, clip_norm, ema, ",
        ),
    ],
    ids=str,
)
def test_a_bad_recipe_is_refused_in_one_line_that_names_the_field(content, message):
    with pytest.raises(SpecError) as error:
        Recipe.from_dict(content, "r")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer: {name: sgd, lr: 0}", "optimizer.lr = 0, but above 0 is accepted"),
        ("optimizer: {name: sgd, lr: 1}\nepochs: 0", "epochs = 0: at least 1 is accepted"),
        ("optimizer: {name: sgd, lr: 1}\nepoch: 1", "epoch is not a field of a recipe; did you "),
        ("", "the recipe is empty, but a mapping of fields is needed"),
        ("- 1\n- 2", "the recipe is a list, but a mapping of fields is needed"),
        ("a: [1, 2", "the recipe is not valid YAML: while parsing a flow sequence"),
        ("a: \x00", "the recipe is not valid YAML: "),
        (b"\xff\xfe\xff", "the recipe is not UTF-8 text"),
        (None, "cannot read the recipe: No such file or directory"),
    ],
    ids=repr,
)
def test_a_bad_recipe_file_is_refused_in_one_line_that_names_the_file(text, message, tmp_path):
    path = tmp_path / "best.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SpecError) as error:
        Recipe.load(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_a_bad_json_recipe_is_refused_in_one_line(tmp_path):
    (tmp_path / "best.json").write_text('{"optimizer": {"name": "sgd",\n "lr" 1}}')
    with pytest.raises(SpecError) as error:
        Recipe.load(tmp_path / "best.json")
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'best.json'}: the recipe is not valid JSON: Expecting")
    assert message.isprintable()


@given(
    st.recursive(
        st.none() | st.booleans() | numbers | words,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(printable, inner, max_size=3),
    ),
    st.sampled_from([*Recipe.model_fields, "optimizer.lr", "schedule.name", "x"]),
)
def test_whatever_is_written_is_a_recipe_or_an_error_of_one_line(value, place):
    content = RECIPE.to_dict()
    owner, _, key = place.rpartition(".")
    (content[owner] if owner else content)[key] = value
    try:
        recipe = Recipe.from_dict(content, "r")
    except SpecError as refused:
        message = str(refused)
        assert message.startswith("r: ")
        assert message.isprintable()
    else:
        assert Recipe.from_dict(recipe.to_dict()) == recipe


# Building


def lrs_of(recipe, **arguments):
    optimizer, scheduler = recipe.build(nn.Linear(2, 1), **arguments)
    lrs = []
    for _ in range(recipe.total_steps(arguments["steps_per_epoch"], arguments.get("epochs"))):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return lrs


def test_a_recipe_builds_one_torch_optimizer_and_one_torch_scheduler():
    model = nn.Linear(2, 1)
    optimizer, scheduler = RECIPE.build(model, steps_per_epoch=20)
    assert type(optimizer) is torch.optim.SGD
    assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
    assert scheduler.optimizer is optimizer
    assert optimizer.param_groups[0]["params"] == list(model.parameters())


def test_epochs_rescale_the_whole_schedule():
    lrs = lrs_of(RECIPE, steps_per_epoch=20)
    doubled = lrs_of(RECIPE, steps_per_epoch=20, epochs=20)
    assert (len(lrs), len(doubled)) == (200, 400)
    assert lrs.index(max(lrs)) == 10  # warm-up: 5 %
    assert doubled.index(max(doubled)) == 20
    assert doubled[::2] == pytest.approx(lrs, rel=1e-6, abs=1e-9)


def test_a_horizon_in_steps_is_independent_of_the_epoch_until_epochs_override_it():
    recipe = RECIPE.model_copy(update={"epochs": None, "steps": 100})
    assert recipe.total_steps(steps_per_epoch=7) == 100
    assert recipe.total_steps(steps_per_epoch=7, epochs=3) == 21
    assert len(lrs_of(recipe, steps_per_epoch=7)) == 100


def test_a_recipe_without_a_horizon_needs_one_to_be_built():
    recipe = Recipe.from_dict({"optimizer": SGD})
    with pytest.raises(SpecError) as error:
        recipe.build(nn.Linear(2, 1), steps_per_epoch=5)
    assert str(error.value) == "the recipe has no horizon; give it epochs or steps"
    recipe.build(nn.Linear(2, 1), steps_per_epoch=5, epochs=3)


@given(recipes(), st.integers(1, 50))
def test_building_leaves_the_recipe_as_it_was(recipe, steps_per_epoch):
    assume(recipe.total_steps(steps_per_epoch) < 10**6)
    before = recipe.to_dict()
    recipe.build(nn.Linear(2, 1), steps_per_epoch=steps_per_epoch)
    assert recipe.to_dict() == before


# Titles


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "sgd lr 0.0521 (momentum 0.9, nesterov True) · cosine · warmup 5 %"),
        (
            {"optimizer": {"name": "adam", "lr": 0.00123456, "betas": [0.9, 0.999]}, "warmup": 0},
            "adam lr 0.00123 (betas 0.9/0.999) · cosine",
        ),
        (
            {
                "optimizer": {"name": "sgd", "lr": 1},
                "schedule": {"name": "step", "step_size": 1 / 3, "gamma": 0.1},
                "params": {"batch_size": 32, "dropout": 0.25, "act": "relu"},
            },
            "sgd lr 1 · step (step_size 0.333, gamma 0.1) · warmup 5 % · batch_size 32 · "
            "dropout 0.25 · act relu",
        ),
    ],
)
def test_a_title_says_the_recipe_in_one_line(changes, title):
    assert Recipe.from_dict({**RECIPE.to_dict(), **changes}).title() == title


@given(st.lists(recipes(), min_size=2, max_size=4))
def test_recipes_are_equal_exactly_when_their_dicts_are(drawn):
    for a, b in itertools.combinations(drawn, 2):
        assert (a == b) == (a.to_dict() == b.to_dict())
