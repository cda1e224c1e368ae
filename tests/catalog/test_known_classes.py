"""Optimizers of other packages that `{}` can search: ranges, partners, real studies, resuming."""

import importlib
import inspect
import json
import math
from dataclasses import replace

import pytest
import pytorch_optimizer
import torch
from drawn import DrawnTrial
from hypothesis import given, settings
from hypothesis import strategies as st
from small import (
    BATCH_SIZE,
    STEPS_PER_EPOCH,
    TRAIN,
    VALIDATION,
    make_model,
    make_recipe,
    make_training,
    run,
)
from tiny_studies import make_study, opened, work
from torch.nn.functional import cross_entropy

from lrsearch.advice.lint import Scale, lint
from lrsearch.catalog.domains import Range
from lrsearch.catalog.known_classes import KNOWN_CLASSES, full_name
from lrsearch.catalog.lookup import check_optimizer, optimizer_info
from lrsearch.errors import SpecError
from lrsearch.export import export
from lrsearch.fusing import fuse_option
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.parse import parse_space
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import trials
from lrsearch.training import checkpoint_state

SEARCHED = [name for name, known in KNOWN_CLASSES.items() if known.ranges]
every_class = pytest.mark.parametrize("name", SEARCHED)


def space_of(name, **fields):
    return {"optimizers": {name: fields}, "schedules": ["constant", "cosine"], "warmup": 0.0}


def spec_of(name, **changes):
    fields = {"name": "s", "task": "t.py:task", "epochs": 4, "budget": {"trials": 60}}
    return StudySpec.from_dict({**fields, "space": space_of(name), **changes})


def middle_of(name):
    """The recipe in the middle of what `{}` searches."""

    class Middle:
        def suggest_float(self, name, low, high, *, step=None, log=False):
            return math.sqrt(low * high) if log else (low + high) / 2

        def suggest_int(self, name, low, high, *, step=1, log=False):
            return low

        def suggest_categorical(self, name, choices):
            return choices[-1]

    # Kron draws from numpy.random whether it balances its factors, every second step here.
    fixed = {"balance_prob": 0.5} if name.endswith("Kron") else {}
    content = parse_space(space_of(name, **fixed)).suggest(Middle())
    return make_recipe(**{**content, "seed": 3, "batch_size": BATCH_SIZE})


@every_class
def test_what_braces_search_lies_around_the_classes_own_default(name):
    """lr of the constructor inside the range, all values taken by the class."""
    package, _, short = name.rpartition(".")
    own = inspect.signature(getattr(importlib.import_module(package), short)).parameters
    lr = KNOWN_CLASSES[name].ranges["lr"]
    if isinstance(lr, Range):
        assert lr.low <= own["lr"].default <= lr.high
    else:
        assert lr.value == own["lr"].default
    for key in KNOWN_CLASSES[name].ranges.keys() - {"lr", "beta1", "beta2"}:
        assert key in own


@settings(max_examples=3)
@given(data=st.data())
@every_class
def test_whatever_braces_sample_is_a_recipe_that_builds(name, data):
    space = parse_space(space_of(name))
    recipe = Recipe.from_dict({**space.suggest(DrawnTrial(data)), "steps": 10})
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    optimizer, _ = recipe.build(make_model(), steps_per_epoch=5)
    assert optimizer.param_groups[0]["lr"] > 0
    assert space.params_of(recipe.to_dict()) is not None


@every_class
def test_an_interrupted_trial_equals_the_uninterrupted_one_to_the_bit(name):
    recipe = middle_of(name)
    whole = make_training(recipe)
    expected = run(whole)
    assert whole.diverged is None
    first = make_training(recipe)
    rows = run(first, until=STEPS_PER_EPOCH + 4)
    data = checkpoint_state.pack(first)
    torch.manual_seed(99)
    second = make_training(recipe)
    assert checkpoint_state.unpack(second, data) == []
    rows += run(second)
    assert [replace(row, seconds=0.0) for row in rows] == [
        replace(row, seconds=0.0) for row in expected
    ]
    weights = second.model.state_dict()
    for key, tensor in whole.model.state_dict().items():
        assert torch.equal(weights[key], tensor)


@every_class
def test_a_trial_in_the_middle_of_the_ranges_learns(name):
    training = make_training(middle_of(name).model_copy(update={"epochs": 50}))
    rows = run(training)
    assert training.diverged is None
    assert min(row.train_loss for row in rows) < 0.95 * rows[0].train_loss


def plain_loop(recipe, *, clip_norm=None, accumulate=1):
    """A trial's weights as the README of pytorch-optimizer trains with a second-order class."""
    optimizer_class = getattr(pytorch_optimizer, recipe.optimizer_name.partition(".")[2])
    fields = {k: v for k, v in recipe.optimizer.items() if k != "name"}
    torch.manual_seed(recipe.seed)
    model = make_model()
    optimizer = optimizer_class(model.parameters(), **fields)
    for epoch in range(recipe.epochs):
        model.train()
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + epoch)
        order = torch.randperm(len(TRAIN[0]), generator=generator)
        steps = STEPS_PER_EPOCH // accumulate
        for batches in order[: steps * accumulate * BATCH_SIZE].split(accumulate * BATCH_SIZE):
            optimizer.zero_grad()
            for batch in batches.split(BATCH_SIZE):
                loss = cross_entropy(model(TRAIN[0][batch]), TRAIN[1][batch]) / accumulate
                loss.backward(create_graph=True)
            if clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            optimizer.step()
    return model.state_dict()


SECOND_ORDER = [name for name, known in KNOWN_CLASSES.items() if known.second_order]


@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.parametrize("changes", [{}, {"clip_norm": 0.05}, {"accumulate": 2}], ids=str)
@pytest.mark.parametrize("name", SECOND_ORDER)
def test_a_second_order_optimizer_gets_gradients_that_keep_their_graph(name, changes):
    recipe = make_recipe(
        optimizer={"name": name, "lr": 0.05}, seed=3, batch_size=BATCH_SIZE, ema=None, **changes
    )
    training = make_training(recipe)
    run(training)
    expected = plain_loop(recipe, **changes)
    for key, tensor in training.model.state_dict().items():
        assert torch.equal(tensor, expected[key])


@pytest.mark.filterwarnings("error")
def test_torchs_warning_about_kept_graphs_is_not_shown():
    run(make_training(middle_of("pytorch_optimizer.AdaHessian")))


def test_fp16_would_scale_what_is_differentiated():
    with pytest.raises(SpecError, match="differentiates the gradients, which precision fp16 scal"):
        make_recipe(optimizer={"name": SECOND_ORDER[0], "lr": 0.1}, precision="fp16")


@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.parametrize("name", ["pytorch_optimizer.SOAP", *SECOND_ORDER])
def test_the_exported_script_repeats_the_trial(name, tmp_path, monkeypatch):
    recipe = middle_of(name).model_copy(update={"ema": None})
    rows = run(make_training(recipe))
    text = export(
        recipe,
        "torch",
        study="s",
        trial_number=0,
        steps_per_epoch=STEPS_PER_EPOCH,
        value=1.0,
        metric="val_loss",
        versions={"torch": "2", "lrsearch": "0"},
    ).text
    module = f"exported_{name.partition('.')[2]}"
    (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    _, repeated = importlib.import_module(module).train(
        make_model, TRAIN, VALIDATION, cross_entropy
    )
    assert [row["val_loss"] for row in repeated] == [row.val_loss for row in rows]


def test_a_study_of_all_of_them_with_nothing_but_braces(sqlite_url):
    changes = {
        "space": {"optimizers": list(SEARCHED), "schedules": ["constant"]},
        "enqueue": [
            {"optimizer": {**middle_of(name).optimizer, "lr": 1e-3}, "schedule": "constant"}
            for name in SEARCHED
        ],
        "budget": {"trials": 2 * len(SEARCHED)},
        "epochs": 1,
        "confirm": "none",
        "pruning": "none",
        "range_test": "none",
        "portfolio": 0,
    }
    with opened(sqlite_url) as database:
        search = make_study(database, **changes)
        work(search)
        rows = database.look(lambda connection: trials.everything(connection, search.study_id))
    assert {row.state for row in rows} <= {"complete", "diverged"}, [row.reason for row in rows]
    done = {row.recipe["optimizer"]["name"] for row in rows if row.state == "complete"}
    assert done == set(SEARCHED)


@pytest.mark.parametrize(
    ("short", "name"),
    [
        ("lion", "pytorch_optimizer.Lion"),
        ("psgd", "pytorch_optimizer.Kron"),
        ("Prodigy", "pytorch_optimizer.Prodigy"),
        ("schedule_free", "pytorch_optimizer.ScheduleFreeAdamW"),
    ],
)
def test_a_short_name_says_how_it_is_written(short, name):
    assert full_name(short) == name
    with pytest.raises(SpecError) as error:
        parse_space({"optimizers": {short: {}}})
    line = str(error.value)
    assert f"{short!r} is written {name}; install lrsearch[optimizers] for it" in line


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pytorch_optimizer.SAM", "its step() needs a closure"),
        ("pytorch_optimizer.BSAM", "its step() needs a closure"),
        ("pytorch_optimizer.WSAM", "its step() needs a closure"),
        ("pytorch_optimizer.LBFGS", "LBFGS needs a closure"),
        ("pytorch_optimizer.LOMO", "its constructor takes the model"),
        ("pytorch_optimizer.Lookahead", "its constructor takes another optimizer"),
        ("pytorch_optimizer.AdamW", "lrsearch has it as adamw"),
    ],
)
def test_what_cannot_train_on_one_gradient_a_step_is_refused(name, message):
    with pytest.raises(SpecError) as error:
        check_optimizer({"name": name, "lr": 0.1}, "o")
    assert message in str(error.value)


def test_a_class_that_is_not_listed_needs_its_range():
    with pytest.raises(SpecError, match=r"lr is missing; pytorch_optimizer\.Tiger has no preset"):
        parse_space(space_of("pytorch_optimizer.Tiger"))


def test_scions_momentum_is_no_momentum_that_a_schedule_cycles():
    assert optimizer_info("pytorch_optimizer.SCION", "o").momentum is None
    cycled = {"one_cycle": {"cycle_momentum": True}}
    with pytest.raises(SpecError, match=r"needs momentum, and pytorch_optimizer\.SCION has none"):
        parse_space({"optimizers": ["pytorch_optimizer.SCION"], "schedules": cycled})


def test_functions_and_types_among_a_classes_arguments_are_no_fields():
    assert "clip_lambda" not in optimizer_info("pytorch_optimizer.ADOPT", "o").fields
    assert "precondition_dtype" not in optimizer_info("pytorch_optimizer.Kron", "o").fields


def lint_of(space):
    warned = lint(spec_of("adamw", space=space), Scale(steps_per_epoch=40, batch_size=64))
    return [line for line in warned if "authors" in line]


def test_partners_that_the_authors_advise_against_are_named():
    prodigy = {"prodigyopt.Prodigy": {}}
    assert lint_of({"optimizers": prodigy, "schedules": ["cosine"]}) == []
    [line] = lint_of({"optimizers": prodigy, "schedules": ["cosine", "cosine_restarts"]})
    assert "prodigyopt.Prodigy goes badly with cosine_restarts" in line
    unsafe = {"prodigyopt.Prodigy": {"safeguard_warmup": False}}
    [line] = lint_of({"optimizers": unsafe, "schedules": ["cosine"], "warmup": [0.0, 0.05]})
    assert "safeguard_warmup: true" in line


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pytorch_optimizer.Kron", "pytorch_optimizer.Kron draws random numbers"),
        ("pytorch_optimizer.SOAP", "pytorch_optimizer.SOAP takes eigenvectors"),
        ("pytorch_optimizer.SophiaH", "pytorch_optimizer.SophiaH differentiates the gradients"),
    ],
)
def test_what_draws_or_differentiates_trains_one_trial_at_a_time(name, reason):
    assert reason in fuse_option.not_shared(spec_of(name))
    with pytest.raises(SpecError, match="leave --fuse out"):
        fuse_option.check(spec_of(name), 2)
    given_alone = spec_of("adamw", baseline={"optimizer": {"name": name, "lr": 0.1}})
    assert reason in fuse_option.not_shared(given_alone)
    assert fuse_option.not_shared(spec_of("pytorch_optimizer.Lion")) is None
