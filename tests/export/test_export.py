"""Exported recipes: files that load to the same recipe, and scripts that train to the same bits
where lrsearch cannot be imported."""

import inspect
import itertools
import json
import subprocess
import sys
from dataclasses import asdict

import pytest
import small
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.errors import SpecError
from lrsearch.export import FORMATS, check_format, export
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.initial_weights import InitialWeights
from lrsearch.spec.parts import ValidateEvery
from lrsearch.training.data import make_splits
from lrsearch.training.solo import SoloTraining
from lrsearch.training.start import steps_per_epoch
from lrsearch.trial.validations import make_plan

OPTIMIZERS = [
    {"name": "sgd", "lr": 0.05},
    {"name": "sgd", "lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4},
    {"name": "adamw", "lr": 3e-3, "betas": [0.85, 0.99], "weight_decay": 0.05},
    {"name": "adagrad", "lr": 1e-2},
    {"name": "rmsprop", "lr": 1e-3, "alpha": 0.9, "momentum": 0.5},
    {"name": "nadam", "lr": 1e-3, "decoupled_weight_decay": True, "weight_decay_exclude_1d": True},
    {"name": "muon", "lr": 1e-2, "adamw_betas": [0.8, 0.99]},
]
#: Fields for schedules whose defaults would leave something untried in so short a run.
FIELDS = {
    "cosine": {"eta_min": 0.1},
    "plateau": {"patience": 0.0, "factor": 0.3},
    "cyclic": {"base_factor": 0.2, "step_size_up": 0.25},
    "cosine_restarts": {"T_0": 0.4, "T_mult": 2, "eta_min": 0.1},
    "polynomial": {"power": 0.7},
    "wsd": {"decay": 0.6, "shape": "cosine"},
}
CLIP_NORM = 0.2
WARMUP = 0.2
RUNGS = (0.04, 0.11, 0.33)
#: Epochs for which the scripts' learning rates are compared, beside the recipe's own.
OTHER_EPOCHS = (1, 7)


def recipes():
    """Every schedule with two or three optimizers and every optimizer with five schedules; warm-up,
    clipping and bf16 on every second or so."""
    pairs = enumerate(itertools.product(SCHEDULES, OPTIMIZERS))
    for i, (schedule, optimizer) in itertools.islice(pairs, 0, None, 3):
        warmup = WARMUP if i % 2 and SCHEDULES[schedule].no_warmup is None else 0.0
        yield small.make_recipe(
            optimizer=optimizer,
            schedule={"name": schedule, **FIELDS.get(schedule, {})},
            warmup=warmup,
            clip_norm=CLIP_NORM if i % 9 == 0 else None,
            precision="bf16" if i % 4 == 0 else "fp32",
            seed=i,
            batch_size=small.BATCH_SIZE,
        )


def special_recipes():
    """(recipe, when it is validated) for what the product does not reach."""
    sgd = {"name": "sgd", "lr": 0.02, "momentum": 0.9}
    base = {"optimizer": sgd, "batch_size": small.BATCH_SIZE}
    cycled = {"name": "one_cycle", "cycle_momentum": True}
    deployed = {"weights": "ema", "ema": {"epochs": 0.7}, "precision": "bf16"}
    by_steps, by_fraction = ValidateEvery(steps=4), ValidateEvery(fraction=0.3)
    adam = {"name": "adam", "lr": 0.01}
    in_steps = {"epochs": None, "steps": 21}
    at_rungs, plateau = ValidateEvery(rungs=True), {"name": "plateau", **FIELDS["plateau"]}
    fused = {
        name: {**base, "optimizer": {"name": name, "lr": 0.01, "fused": True}}
        for name in ("adam", "adamw", "adagrad")
    }
    return [
        (small.make_recipe(**base, schedule=cycled), ValidateEvery()),
        (small.make_recipe(**base, schedule=plateau), at_rungs),
        (small.make_recipe(**{**base, **in_steps}, schedule="linear"), at_rungs),
        (small.make_recipe(**{**base, "optimizer": adam}, schedule=cycled), ValidateEvery()),
        (small.make_recipe(**base, schedule="cosine", **deployed), ValidateEvery()),
        (small.make_recipe(**base, **{**deployed, "precision": "fp32"}), by_steps),
        (small.make_recipe(**base, schedule="plateau", weights="ema"), by_fraction),
        (small.make_recipe(**base, schedule="linear", warmup=0.3), by_steps),
        (small.make_recipe(**base, schedule="wsd", warmup_steps=5), by_steps),
        (small.make_recipe(**base, schedule="cosine", **in_steps), ValidateEvery()),
        (small.make_recipe(**base, schedule="plateau", **in_steps), by_steps),
        (small.make_recipe(**base, schedule="one_cycle", **in_steps), by_fraction),
        (small.make_recipe(**{**base, "optimizer": {**sgd, "fused": True}}), ValidateEvery()),
        (small.make_recipe(**base, accumulate=2, clip_norm=0.2, schedule="linear"), by_steps),
        (
            small.make_recipe(**base, accumulate=4, precision="bf16", schedule="plateau"),
            by_fraction,
        ),
        (small.make_recipe(**fused["adam"], accumulate=3, weights="ema"), ValidateEvery()),
        (small.make_recipe(**fused["adagrad"], schedule="one_cycle"), ValidateEvery()),
        (small.make_recipe(**fused["adamw"], accumulate=2, **in_steps), ValidateEvery()),
        (small.make_recipe(**base, precision="fp16", schedule="cosine", warmup=0.2), by_steps),
        (small.make_recipe(**base, precision="fp16", schedule="plateau"), ValidateEvery()),
        (small.make_recipe(**base, precision="fp16", accumulate=3, clip_norm=0.2), by_steps),
        (OVERFLOWING, ValidateEvery()),
        *((small.make_recipe(**{**base, **fields}), ValidateEvery()) for fields in GROUPED),
        (small.make_recipe(**base, params={"act": 'a "b"', "width": [8, 0.5]}), ValidateEvery()),
    ]


HALVED = {"match": "weight", "lr_scale": 0.5}
UNDECAYED = {"kind": ["norm", "bias"], "weight_decay": 0.0}
#: Recipes with parameter groups, for the small model and for nn.Linear.
GROUPED = [
    {"groups": [HALVED], "schedule": FIELDS["cosine"] | {"name": "cosine"}, "warmup": 0.2},
    {"groups": [UNDECAYED | {"lr_scale": 2.0}, HALVED], "schedule": "linear"},
    {"groups": [HALVED], "schedule": FIELDS["cosine_restarts"] | {"name": "cosine_restarts"}},
    {"groups": [HALVED], "schedule": FIELDS["cyclic"] | {"name": "cyclic"}},
    {
        "groups": [{"match": ["never", "weight"], "momentum": 0.8, "lr_scale": 0.1}],
        "schedule": {"name": "one_cycle", "cycle_momentum": True},
    },
    {
        "groups": [{"match": "", "kind": "bias", "lr_scale": 3.0} | {"match": "bi.s"}],
        "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay_exclude_1d": True},
        "schedule": {"name": "plateau", "patience": 0.0, "metric": "objective"},
    },
    {"groups": [UNDECAYED], "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.3}},
    {
        "groups": [{"match": "weight", "betas": [0.7, 0.9]}],
        "optimizer": {"name": "adam", "lr": 0.01},
        "schedule": {"name": "one_cycle", "cycle_momentum": True},
    },
    {"groups": [], "schedule": "wsd"},
    {"groups": [HALVED], "optimizer": {"name": "adagrad", "lr": 0.01, "fused": True}},
]


#: Its lr is so high that gradients leave fp16.
OVERFLOWING = small.make_recipe(
    optimizer={"name": "sgd", "lr": 10.0, "momentum": 0.9},
    schedule="linear",
    precision="fp16",
    accumulate=2,
    seed=5,
    batch_size=small.BATCH_SIZE,
)
CASES = [*((recipe, ValidateEvery()) for recipe in recipes()), *special_recipes()]


INIT = InitialWeights(file="weights.pt", sha256="0" * 64)
LAYERS = {"match": r"layers\.(\d+)\.", "layer_decay": 0.8}
#: Recipes, and what else they are exported with, that the model here is not made for.
FORMATTED = [
    (small.make_recipe(batch_size=8), {"init": INIT}),
    (
        small.make_recipe(batch_size=8, groups="task", schedule="plateau"),
        {"init": INIT.model_copy(update={"strict": False})},
    ),
    (
        small.make_recipe(
            batch_size=8,
            groups=[{**LAYERS, "kind": ["norm", "bias", "embedding"], "weight_decay": 0}, LAYERS],
            optimizer={"name": "muon", "lr": 0.01, "weight_decay_exclude_1d": True},
            schedule={"name": "cosine", "eta_min": 0.1},
        ),
        {},
    ),
]


def write(recipe, format="torch", **changes):
    arguments = {
        "study": "digits",
        "trial_number": 17,
        "steps_per_epoch": small.STEPS_PER_EPOCH,
        "value": 0.0612,
        "metric": "val_loss",
        "versions": {"lrsearch": "0.1.0", "torch": "2.13.0", "optuna": "5.0.0"},
        "rungs": RUNGS,
    }
    return export(recipe, format, **{**arguments, **changes}).text


RUNNER = f"""
import importlib.util, sys
from pathlib import Path
import torch
from torch import nn
from torch.nn.functional import cross_entropy

sys.modules["lrsearch"] = None  # importing it raises ImportError
torch.set_num_threads(1)
FEATURES, CLASSES = {small.FEATURES}, {small.CLASSES}

{inspect.getsource(small.make_model)}
{inspect.getsource(small.accuracy)}

def sequence(module, total_steps, validations):
    optimizer, scheduler = module.build(nn.Linear(1, 1), total_steps, validations)
    plateau = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    settings = []
    for _ in range(total_steps):
        group = optimizer.param_groups[0]
        settings.append((float(group["lr"]), group.get("momentum"), group.get("betas")))
        optimizer.step()
        scheduler.step(*([1.0] if plateau else []))
    return settings

folder = Path(sys.argv[1])
train, validation, horizons = torch.load(folder / "data.pt")
results = {{}}
for path in sorted(folder.glob("*.py")):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    scores = {{"accuracy": accuracy}}
    model, rows = module.train(make_model, train, validation, cross_entropy, scores)
    sequences = [sequence(module, *horizon) for horizon in horizons]
    results[path.stem] = rows, model.state_dict(), sequences
torch.save(results, folder / "results.pt")
"""


def horizons():
    return [(epochs * small.STEPS_PER_EPOCH, epochs) for epochs in OTHER_EPOCHS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All exported scripts, and what one process without lrsearch got from them."""
    folder = tmp_path_factory.mktemp("exported")
    for i, (recipe, validate_every) in enumerate(CASES):
        text = write(recipe, validate_every=validate_every)
        (folder / f"recipe_{i:03}.py").write_text(text, encoding="utf-8")
    (folder / "formatted").mkdir()  # what the tests train with elsewhere
    for i, (recipe, changes) in enumerate(FORMATTED):
        (folder / "formatted" / f"{i}.py").write_text(write(recipe, **changes), encoding="utf-8")
    torch.save((small.TRAIN, small.VALIDATION, horizons()), folder / "data.pt")
    command = [sys.executable, "-W", "error", "-c", RUNNER, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.fixture(scope="module")
def results(folder):
    return torch.load(folder / "results.pt")


def lrsearch_training(recipe, validate_every):
    splits = make_splits(small.make_task(), small.BATCH_SIZE, small.CPU)
    plan = make_plan(
        steps_per_epoch=steps_per_epoch(splits[0], recipe.accumulate),
        total_steps=recipe.total_steps(steps_per_epoch(splits[0], recipe.accumulate)),
        validate_steps=validate_every.steps,
        validate_fraction=validate_every.fraction,
        validate_rungs=validate_every.rungs,
        rungs=RUNGS,
    )
    training = SoloTraining(small.make_task(), recipe, plan, splits, small.CPU)
    rows = [asdict(row) for row in small.run(training)]
    assert training.diverged is None
    return training, rows


def name(case):
    recipe, validate_every = case
    words = [recipe.title(), recipe.precision, recipe.weights, str(validate_every)]
    return " ".join([*words, "clip" if recipe.clip_norm else ""])


@pytest.mark.parametrize("i", range(len(CASES)), ids=lambda i: name(CASES[i]))
def test_a_script_trains_to_the_same_bits_as_the_trial(i, results):
    recipe, validate_every = CASES[i]
    training, expected = lrsearch_training(recipe, validate_every)
    rows, weights, _ = results[f"recipe_{i:03}"]
    fields = ["validation", "step", "epoch", "lr", "train_loss", "val_loss"]
    fields += ["val_loss_ema"] if recipe.weights == "ema" else []
    assert [[row[field] for field in fields] for row in rows] == [
        [row[field] for field in fields] for row in expected
    ]
    assert [row["accuracy"] for row in rows] == [row["metrics"]["accuracy"] for row in expected]
    mine = training.model.state_dict()
    if recipe.weights == "ema":
        mine |= training.ema.weights()
    assert weights.keys() == mine.keys()
    for key, value in weights.items():
        assert torch.equal(value, mine[key]), key


def test_a_script_whose_gradients_overflow_is_among_them():
    training, _ = lrsearch_training(OVERFLOWING, ValidateEvery())
    assert 0 < training.scheduler.last_epoch < training.step


@pytest.mark.parametrize("i", range(len(CASES)), ids=lambda i: name(CASES[i]))
def test_a_script_builds_the_same_sequences_for_other_horizons(i, results):
    recipe, _ = CASES[i]
    _, _, sequences = results[f"recipe_{i:03}"]
    for epochs, sequence in zip(OTHER_EPOCHS, sequences, strict=True):
        optimizer, scheduler = recipe.build(
            nn.Linear(1, 1), steps_per_epoch=small.STEPS_PER_EPOCH, epochs=epochs
        )
        plateau = recipe.schedule["name"] == "plateau"
        for step, (lr, momentum, betas) in enumerate(sequence):
            group = optimizer.param_groups[0]
            mine = (float(group["lr"]), group.get("momentum"), group.get("betas"))
            assert mine == (lr, momentum, betas), f"step {step} of {len(sequence)}"
            optimizer.step()
            scheduler.step(*([1.0] if plateau else []))


def test_one_cycle_whose_peak_is_the_second_step_can_be_built():
    recipe = small.make_recipe(schedule={"name": "one_cycle", "pct_start": 0.5}, batch_size=8)
    module = {}
    exec(compile(write(recipe), "exported", "exec"), module)
    optimizer, _ = module["build"](nn.Linear(1, 1), 2)
    expected, _ = recipe.build(nn.Linear(1, 1), steps_per_epoch=2, epochs=1)
    assert optimizer.param_groups[0]["lr"] == expected.param_groups[0]["lr"]


def noisy_step(model, batch):
    """It draws in training and in evaluation."""
    inputs, targets = batch
    return cross_entropy(model(inputs + 0.1 * torch.randn_like(inputs)), targets)


def noisy_score(model, batch):
    return {"val_loss": (noisy_step(model, batch) * len(batch[1]), len(batch[1]))}


@pytest.mark.parametrize("weights", ["raw", "ema"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_script_trains_a_step_task_on_batches_of_any_kind(weights, accumulate):
    recipe = small.make_recipe(batch_size=small.BATCH_SIZE, weights=weights, accumulate=accumulate)
    task = small.make_task(loss=None, metrics={}, step=noisy_step, score=noisy_score)
    training = small.make_training(recipe, task)
    expected = small.run(training)
    module = {}
    exec(compile(write(recipe), "exported", "exec"), module)
    train, validation = make_splits(task, small.BATCH_SIZE, small.CPU)
    model, rows = module["train_batches"](
        small.make_model,
        lambda epoch: train.train(recipe.seed, epoch, 0),
        validation.validation,
        train.batches,
        noisy_step,
        noisy_score,
    )
    assert [row["val_loss"] for row in rows] == [row.val_loss for row in expected]
    if weights == "ema":
        assert [row["val_loss_ema"] for row in rows] == [row.val_loss_ema for row in expected]
    kept = training.ema.weights() if weights == "ema" else {}
    for name, value in model.named_parameters():
        assert torch.equal(value, kept.get(name, training.model.get_parameter(name)))


@pytest.mark.parametrize("line_length", [88, 100])
def test_scripts_are_formatted_and_clean(folder, line_length):
    for command in (["format", "--check"], ["check", "--select", "E4,E7,E9,F,I,N,UP,SIM"]):
        options = ["--isolated", "--no-cache", "--line-length", str(line_length)]
        check = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *options, str(folder)],
            capture_output=True,
            text=True,
        )
        assert check.returncode == 0, check.stdout + check.stderr


def test_a_script_holds_only_what_its_recipe_needs():
    plain = write(small.make_recipe(batch_size=16, schedule="cosine"))
    for word in ("clip", "autocast", "average[", "WARMUP", "StepLR", "PARAMS", "val_loss_ema"):
        assert word not in plain
    for word in ("ACCUMULATE", "step_size", "scaler", "fused"):
        assert word not in plain
    full = write(
        small.make_recipe(
            batch_size=16,
            schedule="step",
            warmup=0.1,
            clip_norm=1.0,
            precision="bf16",
            weights="ema",
            params={"dropout": 0.1},
        )
    )
    for word in ("clip_grad_norm_", "autocast", "average[", "WARMUP", "StepLR", "PARAMS"):
        assert word in full
    assert "Cosine" not in full


def test_a_script_says_where_it_comes_from():
    recipe = small.make_recipe(batch_size=16)
    head = " ".join(write(recipe).split('"""')[1].split())
    assert "Study digits, trial 17: val_loss 0.0612" in head
    assert "torch 2.13.0" in head
    assert recipe.title() in head


def test_no_name_can_end_the_docstring():
    recipe = small.make_recipe(batch_size=16, params={"a": '"""\\', 'b"""': "x\ny"})
    text = write(recipe, metric='"""\\ \n metric')
    module = {}
    exec(compile(text, "exported", "exec"), module)
    assert module["PARAMS"] == recipe.params
    assert module["SEED"] == 0


@pytest.mark.parametrize("format", ["yaml", "json"])
def test_a_recipe_file_loads_to_the_same_recipe(format, tmp_path):
    for recipe, _ in CASES:
        path = tmp_path / f"recipe.{format}"
        path.write_text(write(recipe, format), encoding="utf-8")
        assert Recipe.load(path) == recipe


def test_a_yaml_file_says_where_it_comes_from():
    text = write(CASES[0][0], "yaml", metric="a\nb: c")
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert comments == [
        "# Study digits, trial 17: a b: c 0.0612",
        "# Searched with lrsearch 0.1.0, torch 2.13.0",
    ]


def test_a_trial_without_a_value_can_be_exported():
    assert "# Study digits, trial 17\n" in write(CASES[0][0], "yaml", value=None)


def test_a_json_file_is_the_recipe_alone():
    assert json.loads(write(CASES[0][0], "json")) == CASES[0][0].to_dict()


def test_an_unknown_format_names_the_near_miss():
    with pytest.raises(SpecError, match="did you mean 'torch'"):
        write(CASES[0][0], "torchh")
    with pytest.raises(SpecError, match="accepted: command, hydra, json, lightning"):
        write(CASES[0][0], "xml")
    assert FORMATS[:3] == ("yaml", "json", "torch")


def test_formats_have_the_names_that_others_give_them():
    assert check_format("shell") == "command"
    assert check_format("pytorch") == "torch"
    assert {check_format(name) for name in FORMATS} == set(FORMATS)


def test_a_script_needs_the_batch_size():
    with pytest.raises(SpecError, match="batch_size is null"):
        write(small.make_recipe())


def test_every_schedule_has_a_script():
    for schedule in SCHEDULES:
        assert "def build(" in write(small.make_recipe(schedule=schedule, batch_size=16))


def test_the_validations_of_a_script_follow_its_horizon():
    recipe = small.make_recipe(batch_size=16)
    assert "VALIDATIONS = 3" in write(recipe, validate_every=ValidateEvery(fraction=0.3))
    assert "VALIDATE_EVERY = 4" in write(recipe, validate_every=ValidateEvery(steps=4))
    assert "VALIDATE_ALSO = [0.04, 0.11]" in write(recipe, validate_every=ValidateEvery(rungs=True))
