"""A trial equals the plain loop of tests/reference.py, and a resumed trial the uninterrupted one:
to the last bit."""

import functools
import io
import json
import math
import pickle
import random
from dataclasses import replace
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import is_telling
from reference import LR
from small import (
    BATCH_SIZE,
    CLASSES,
    CPU,
    EPOCHS,
    FEATURES,
    STEPS_PER_EPOCH,
    TRAIN,
    VALIDATION,
    make_model,
    make_recipe,
    make_task,
    make_training,
    run,
)
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Adagrad, Adam, AdamW
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage.checkpoint_store import CheckpointStore
from lrsearch.task.task import LoadedTask
from lrsearch.training import checkpoint_state
from lrsearch.training.fused.cohort import Cohort
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.trial_training import CHECK_EVERY

TOTAL_STEPS = EPOCHS * STEPS_PER_EPOCH
WARMUP = 0.25
SEED = 3

#: The recipes of `reference.PLAIN_OPTIMIZERS`, in lrsearch's words.
OPTIMIZERS = {
    "sgd": {"name": "sgd"},
    "sgd momentum": {"name": "sgd", "momentum": 0.9, "weight_decay": 1e-3},
    "sgd nesterov": {"name": "sgd", "momentum": 0.7, "nesterov": True},
    "adam": {"name": "adam", "betas": [0.85, 0.99]},
    "adamw": {"name": "adamw", "weight_decay": 0.1},
    "adamw undecayed vectors": {
        "name": "adamw",
        "weight_decay": 0.1,
        "weight_decay_exclude_1d": True,
    },
    "nadam": {"name": "nadam", "weight_decay": 0.1, "decoupled_weight_decay": True},
    "radam": {"name": "radam", "betas": [0.8, 0.99]},
    "adamax": {"name": "adamax", "weight_decay": 1e-3},
    "adagrad": {"name": "adagrad"},
    "adadelta": {"name": "adadelta", "lr": 5 * LR, "rho": 0.8},
    "rmsprop": {"name": "rmsprop", "alpha": 0.95, "momentum": 0.5},
    "adafactor": {"name": "adafactor", "weight_decay": 0.01},
    "asgd": {"name": "asgd", "t0": 10.0},
    "rprop": {"name": "rprop", "etas": [0.6, 1.1]},
    "muon": {"name": "muon", "momentum": 0.9},
    "muon original": {"name": "muon", "adjust_lr_fn": "original", "adamw_lr_factor": 0.1},
}
#: The recipes of `reference.PLAIN_SCHEDULERS`, and one_cycle that cycles momentum too.
SCHEDULES = {
    "constant": {},
    "step": {"step_size": 1 / 3, "gamma": 0.1},
    "multistep": {"milestones": [1 / 3, 2 / 3], "gamma": 0.3},
    "exponential": {"final": 0.01},
    "cosine": {"eta_min": 0.1},
    "cosine_restarts": {"T_0": 1 / 3},
    "linear": {"end_factor": 0.0},
    "polynomial": {"power": 2.0},
    "plateau": {"factor": 0.5, "patience": 0.0},
    "cyclic": {"base_factor": 0.1, "step_size_up": 1 / 6},
    "one_cycle": {},
    "one_cycle with momentum": {"cycle_momentum": True},
    "wsd": {"decay": 0.5},
    "rex": {},
    "inverse_sqrt": {"timescale": 0.5},
}
CLIP_NORM = {"sgd momentum": 0.5, "adam": 0.1}

PAIRS = [
    (optimizer, schedule, warmup)
    for optimizer in OPTIMIZERS
    for schedule in SCHEDULES
    for warmup in ((0.0, WARMUP) if schedule in reference.PLAIN_WARMABLE else (0.0,))
    if schedule != "one_cycle with momentum" or optimizer in reference.PLAIN_CYCLED_MOMENTUM
    if optimizer != "rprop" or (schedule, warmup) == ("constant", 0.0)
]


def pair_name(pair):
    optimizer, schedule, warmup = pair
    return f"{optimizer}, {schedule}" + (", warmed up" if warmup else "")


TELLING = [pair for pair in PAIRS if is_telling(pair, optimizers=("sgd momentum", "adamw"))]
#: All of them, most with `-m slow`.
every_pair = pytest.mark.parametrize(
    "pair",
    [pytest.param(pair, marks=[] if pair in TELLING else pytest.mark.slow) for pair in PAIRS],
    ids=pair_name,
)


def recipe_of(pair, **changes):
    optimizer, schedule, warmup = pair
    return make_recipe(
        optimizer={"lr": LR, **OPTIMIZERS[optimizer]},
        schedule={"name": schedule.split()[0], **SCHEDULES[schedule]},
        warmup=warmup,
        clip_norm=CLIP_NORM.get(optimizer),
        seed=SEED,
        **changes,
    )


def plain_scheduler(optimizer, schedule, warmup):
    if schedule == "one_cycle with momentum":
        return reference.plain_one_cycle_with_momentum(optimizer)
    if warmup:
        return reference.plain_with_warmup(schedule, warmup)
    return reference.PLAIN_SCHEDULERS[schedule]


@functools.cache
def uninterrupted(pair, precision="fp32"):
    """Weights and validations of a trial that nothing interrupts."""
    training = make_training(recipe_of(pair, precision=precision))
    rows = run(training)
    return training.model.state_dict(), timeless(rows)


def timeless(rows):
    return [replace(row, seconds=0.0) for row in rows]


def assert_same_bits(weights, expected):
    assert weights.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(weights[name], tensor), name


def assert_same_run(training, rows, expected):
    weights, expected_rows = expected
    # As text: the norm of gradients that overflow is NaN, which equals nothing.
    assert str(timeless(rows)) == str(expected_rows)
    assert_same_bits(training.model.state_dict(), weights)


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(str(tmp_path / "checkpoints"), "tiny")


def pass_on(training, store, make, rows=()):
    """What a takeover does: the state goes through a file into a trial that just began."""
    saved = store.write("trial", 1, training.step, checkpoint_state.pack(training, rows))
    fresh = make()
    assert checkpoint_state.unpack(fresh, store.read(saved.file, saved.sha256)) == list(rows)
    return fresh


def run_interrupted(make, steps, store):
    """The trial that `make` gives, and its validations, resumed from a file at each of `steps`."""
    training, rows = make(), []
    for step in sorted(steps):
        rows += run(training, until=step)
        training = pass_on(training, store, make)
    return training, rows + run(training)


@every_pair
def test_a_trial_equals_the_plain_torch_loop(pair):
    optimizer, schedule, warmup = pair
    weights, val_losses, lrs = reference.train(
        make_model,
        TRAIN,
        VALIDATION,
        cross_entropy,
        make_optimizer=reference.PLAIN_OPTIMIZERS[optimizer],
        make_scheduler=plain_scheduler(optimizer, schedule, warmup),
        seed=SEED,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        clip_norm=CLIP_NORM.get(optimizer),
    )
    trained, rows = uninterrupted(pair)
    assert [row.val_loss for row in rows] == val_losses
    assert [row.lr for row in rows] == [lrs[row.step - 1] for row in rows]
    assert_same_bits(trained, weights)


@pytest.mark.parametrize(
    "pairs", [TELLING, pytest.param(PAIRS, marks=pytest.mark.slow)], ids=["telling", "all"]
)
def test_the_pairs_tell_each_other_apart(pairs):
    """Else the equality above could hold because nothing is trained, or no schedule at work."""
    last = {pair: uninterrupted(pair)[1][-1].val_loss for pair in pairs}
    on_a_plateau = [optimizer for optimizer, schedule, _ in pairs if schedule == "plateau"]
    never_on_a_plateau = [
        optimizer
        for optimizer in on_a_plateau
        if last[optimizer, "plateau", 0.0] == last[optimizer, "constant", 0.0]
    ]
    assert len(set(last.values())) == len(pairs) - len(never_on_a_plateau)
    assert len(never_on_a_plateau) < len(on_a_plateau)


FUSED = {
    "sgd": lambda p: SGD(p, lr=LR, fused=True),
    "sgd momentum": lambda p: SGD(p, lr=LR, momentum=0.9, weight_decay=1e-3, fused=True),
    "adam": lambda p: Adam(p, lr=LR, betas=(0.85, 0.99), fused=True),
    "adamw": lambda p: AdamW(p, lr=LR, weight_decay=0.1, fused=True),
    "adagrad": lambda p: Adagrad(p, lr=LR, fused=True),
}


@pytest.mark.parametrize("optimizer", FUSED)
def test_a_fused_optimizer_equals_the_plain_torch_loop(optimizer, store):
    weights, val_losses, _ = reference.train(
        make_model,
        TRAIN,
        VALIDATION,
        cross_entropy,
        make_optimizer=FUSED[optimizer],
        make_scheduler=reference.PLAIN_SCHEDULERS["cosine"],
        seed=SEED,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
    )

    def make():
        return make_training(
            make_recipe(
                optimizer={**OPTIMIZERS[optimizer], "lr": LR, "fused": True},
                schedule={"name": "cosine", **SCHEDULES["cosine"]},
                seed=SEED,
            )
        )

    resumed, rows = run_interrupted(make, [9], store)
    assert [row.val_loss for row in rows] == val_losses
    assert_same_bits(resumed.model.state_dict(), weights)


#: Optimizer, schedule and the other fields of a trial that is no plain fp32.
WAYS = [
    ("sgd momentum", "plateau", {"accumulate": 2}),
    ("adam", "cosine", {"accumulate": 4}),  # two batches of an epoch are left over
    ("adamw", "linear", {"accumulate": 3, "fused": True}),
    ("muon", "cosine", {"accumulate": 2}),
    ("rmsprop", "cosine", {"accumulate": 2, "precision": "bf16"}),
    ("sgd momentum", "rex", {"precision": "bf16", "fused": True}),
    ("sgd momentum", "cosine", {"precision": "fp16"}),
    ("nadam", "plateau", {"precision": "fp16"}),
    ("adamw undecayed vectors", "linear", {"accumulate": 2, "precision": "fp16"}),
    ("adafactor", "cosine", {"precision": "fp16"}),
]
DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


#: Training data with one sample of a class that the model does not have: see `loud_loss`.
LOUD = TRAIN[0], torch.cat([TRAIN[1][:7], torch.tensor([CLASSES]), TRAIN[1][8:]])


class Louder(torch.autograd.Function):
    """The identity, whose gradients come out so many times as large."""

    @staticmethod
    def forward(context, output, factor):
        context.factor = factor
        return output.clone()

    @staticmethod
    def backward(context, grad):
        return grad * context.factor, None


def loud_loss(output, target):
    """In fp16 the gradients of a batch with the sample of LOUD overflow."""
    factor = 1e3 if (target == CLASSES).any() else 1.0
    return cross_entropy(Louder.apply(output, factor), target.clamp(max=CLASSES - 1))


@pytest.mark.parametrize(("optimizer", "schedule", "fields"), WAYS, ids=str)
def test_every_way_of_training_equals_the_plain_torch_loop(optimizer, schedule, fields, store):
    fused = {key: fields[key] for key in fields if key == "fused"}
    settings = {key: fields[key] for key in fields if key != "fused"}
    weights, val_losses, lrs = reference.train(
        make_model,
        LOUD,
        VALIDATION,
        loud_loss,
        make_optimizer=(FUSED if fused else reference.PLAIN_OPTIMIZERS)[optimizer],
        make_scheduler=reference.PLAIN_SCHEDULERS[schedule],
        seed=SEED,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        clip_norm=0.5,
        accumulate=settings.get("accumulate", 1),
        dtype=DTYPES[settings.get("precision", "fp32")],
    )

    def make():
        recipe = make_recipe(
            optimizer={"lr": LR, **OPTIMIZERS[optimizer], **fused},
            schedule={"name": schedule, **SCHEDULES[schedule]},
            clip_norm=0.5,
            seed=SEED,
            **settings,
        )
        return make_training(recipe, make_task(train=LOUD, loss=loud_loss))

    training = make()
    rows = run(training)
    assert [row.val_loss for row in rows] == val_losses
    assert [row.lr for row in rows] == [lrs[row.step - 1] for row in rows]
    assert_same_bits(training.model.state_dict(), weights)
    if schedule != "plateau":
        skipped = training.plan.total_steps - training.scheduler.last_epoch
        assert (skipped > 0) == (training.scaler is not None)
    expected = training.model.state_dict(), timeless(rows)
    for step in range(1, training.plan.total_steps, 4):
        assert_same_run(*run_interrupted(make, [step], store), expected)


def test_a_trial_whose_gradients_overflow_at_any_scale_diverges():
    def loss(output, target):
        return cross_entropy(Louder.apply(output, math.inf), target)

    task = make_task(loss=loss)
    training = make_training(make_recipe(precision="fp16", epochs=20), task, validate_steps=120)
    weights = {name: value.clone() for name, value in training.model.named_parameters()}
    run(training)
    # The scale begins at 2**16 and is halved 30 times; losses are looked at every 16 steps.
    assert training.diverged == "gradients overflow fp16 at any scale of the loss by step 32"
    assert training.scheduler.last_epoch == 0
    assert_same_bits(dict(training.model.named_parameters()), weights)


def test_a_cohort_accumulates_as_a_trial_alone_does():
    """In float64, to rounding."""
    data = {key: (x.double(), y) for key, (x, y) in (("train", TRAIN), ("validation", VALIDATION))}
    task = make_task(model=lambda: make_model().double(), **data)
    loaded = LoadedTask(reference="task.py:task", source=Path(), target=task, code={})
    study = {"name": "a", "task": "task.py:task", "epochs": 4, "budget": {"trials": 2}}
    spec = StudySpec.from_dict({**study, "accumulate": 4})
    recipes = [
        spec.recipe({"optimizer": {"lr": 0.01, **OPTIMIZERS[name]}}, batch_size=BATCH_SIZE)
        for name in ("sgd nesterov", "adamw")
    ]
    cohort = Cohort(spec, TaskCache(loaded, CPU), recipes[0], 2)
    trainings = [cohort.admit(recipe) for recipe in recipes]
    rows = []
    while not trainings[0].done:
        cohort.advance(1)
        rows.append(cohort.validate(trainings, with_ema=lambda training: True))
    for recipe, found in zip(recipes, zip(*rows, strict=True), strict=True):
        alone = run(make_training(recipe, task))
        assert [row.step for row in found] == [row.step for row in alone] == [1, 2, 3, 4]
        for mine, expected in zip(found, alone, strict=True):
            assert mine.train_loss == pytest.approx(expected.train_loss, rel=1e-11)
            assert mine.val_loss_ema == pytest.approx(expected.val_loss_ema, rel=1e-11)


@every_pair
def test_a_resumed_trial_equals_the_uninterrupted_one(pair, store):
    step = random.Random(pair_name(pair)).randrange(1, TOTAL_STEPS)
    training, rows = run_interrupted(lambda: make_training(recipe_of(pair)), [step], store)
    assert_same_run(training, rows, uninterrupted(pair))


@settings(max_examples=30)
@given(
    pair=st.sampled_from(PAIRS),
    steps=st.lists(st.integers(0, TOTAL_STEPS), min_size=2, max_size=4),
)
def test_a_trial_may_be_interrupted_at_any_steps_any_number_of_times(pair, steps):
    store = CheckpointStore("memory://checkpoints", "tiny")
    training, rows = run_interrupted(lambda: make_training(recipe_of(pair)), steps, store)
    assert_same_run(training, rows, uninterrupted(pair))


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_a_trial_may_be_interrupted_between_training_and_validation(schedule, store):
    pair = ("adam", schedule, 0.0)
    training = make_training(recipe_of(pair))
    training.advance(training.next_validation)
    resumed = pass_on(training, store, lambda: make_training(recipe_of(pair)))
    assert resumed.step == resumed.next_validation
    first = resumed.validate(with_ema=True)
    assert_same_run(resumed, [first, *run(resumed)], uninterrupted(pair))


def test_saving_does_not_disturb_the_trial_that_goes_on(store):
    pair = ("sgd nesterov", "one_cycle with momentum", 0.0)
    training, rows = make_training(recipe_of(pair)), []
    for step in range(1, TOTAL_STEPS + 1):
        rows += run(training, until=step)
        checkpoint_state.pack(training)
    assert_same_run(training, rows, uninterrupted(pair))


@pytest.mark.parametrize("schedule", ["linear", "plateau"])
@pytest.mark.parametrize("interval", [{"validate_steps": 4}, {"validate_fraction": 0.2}])
def test_a_trial_resumes_between_validations_that_ignore_epochs(schedule, interval, store):
    def make():
        return make_training(recipe_of(("adamw", schedule, 0.0)), **interval)

    training = make()
    expected_rows = run(training)
    assert len(expected_rows) in (5, 6)
    for step in (3, 5, 6, 8, 11, 23):
        resumed, rows = run_interrupted(make, [step], store)
        expected = training.model.state_dict(), timeless(expected_rows)
        assert_same_run(resumed, rows, expected)


@pytest.mark.parametrize("pair", [p for p in PAIRS if p[1] == "plateau"], ids=pair_name)
def test_a_bf16_trial_resumes_to_the_same_bits(pair, store):
    training, rows = run_interrupted(
        lambda: make_training(recipe_of(pair, precision="bf16")), [7, 20], store
    )
    assert_same_run(training, rows, uninterrupted(pair, precision="bf16"))
    assert rows[-1].val_loss != uninterrupted(pair)[1][-1].val_loss


def test_a_trial_of_a_horizon_in_steps_resumes_to_the_same_bits(store):
    def make():
        return make_training(make_recipe(epochs=None, steps=20, schedule="cosine"))

    whole = make()
    expected = timeless(run(whole))
    assert [row.step for row in expected] == [6, 12, 18, 20]
    resumed, rows = run_interrupted(make, [13], store)
    assert_same_run(resumed, rows, (whole.model.state_dict(), expected))


class Samples(Dataset):
    """The training set as a map-style dataset; `noise` draws from torch's global generator."""

    def __init__(self, noise=0.0):
        self.noise = noise

    def __len__(self):
        return len(TRAIN[0])

    def __getitem__(self, index):
        inputs, target = TRAIN[0][index], TRAIN[1][index]
        return (inputs + self.noise * torch.randn(FEATURES) if self.noise else inputs), target


def shuffled_loader(dataset, **changes):
    return lambda: DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True, **changes)


def validation_loader():
    return DataLoader(TensorDataset(*VALIDATION), batch_size=40)


TASKS = {
    "dataset": lambda: make_task(train=Samples()),
    "dataset with random transforms": lambda: make_task(train=Samples(noise=0.1)),
    "loader": lambda: make_task(train=shuffled_loader(Samples()), validation=validation_loader),
    "loader with a generator": lambda: make_task(
        train=shuffled_loader(Samples(), generator=torch.Generator())
    ),
    "loader with random transforms": lambda: make_task(
        train=shuffled_loader(Samples(noise=0.1), num_workers=0)
    ),
    "loader that shuffles validation": lambda: make_task(
        train=shuffled_loader(Samples()),
        validation=lambda: DataLoader(
            TensorDataset(*VALIDATION), batch_size=40, shuffle=True, generator=torch.Generator()
        ),
    ),
    "loader with workers": lambda: make_task(
        train=shuffled_loader(Samples(noise=0.1), num_workers=1, persistent_workers=True)
    ),
}


@pytest.mark.parametrize("kind", TASKS)
def test_a_trial_resumes_to_the_same_bits_from_any_kind_of_data(kind, store):
    def make():
        return make_training(make_recipe(schedule="cosine", seed=SEED), TASKS[kind]())

    whole = make()
    expected = timeless(run(whole))
    for step in (2, 13, 18):
        resumed, rows = run_interrupted(make, [step], store)
        assert_same_run(resumed, rows, (whole.model.state_dict(), expected))


def test_a_dataset_trains_to_the_same_bits_as_its_tensors():
    pair = ("adam", "cosine", 0.0)
    training = make_training(recipe_of(pair), make_task(train=Samples()))
    rows = run(training)
    assert_same_run(training, rows, uninterrupted(pair))


@pytest.mark.parametrize("chunk", [1, 7])
@pytest.mark.parametrize("pair", [p for p in PAIRS if p[0] == "rmsprop"], ids=pair_name)
def test_training_in_chunks_gives_the_same_as_in_one_go(pair, chunk):
    training = make_training(recipe_of(pair))
    rows = run(training, chunk=chunk)
    assert_same_run(training, rows, uninterrupted(pair))


@pytest.mark.parametrize("validate_steps", [6, 50])
def test_training_in_chunks_diverges_at_the_same_step(validate_steps, store):
    """A validation after 6 steps sees it at once, one after 50 leaves it to the look each 16."""

    def make():
        recipe = make_recipe(optimizer={"name": "sgd", "lr": 30.0}, epochs=10)
        return make_training(recipe, validate_steps=validate_steps)

    whole = make()
    run(whole)
    assert whole.diverged is not None
    assert whole.step < whole.plan.total_steps
    for chunk in (1, 7):
        training = make()
        run(training, chunk=chunk)
        assert (training.step, training.diverged) == (whole.step, whole.diverged)
    resumed, _ = run_interrupted(make, [whole.step - 2], store)
    assert (resumed.step, resumed.diverged) == (whole.step, whole.diverged)


@pytest.mark.parametrize("interrupted", [None, 5, 16, 20, 31])
def test_divergence_is_judged_by_the_steps_since_the_last_look(interrupted, store):
    """From step 17 on the loss is 12 times the first: their mean is above the limit at 32, the
    mean since the last validation is not."""
    steps = iter(range(1, 100))

    def loss(output, target):
        return 0 * output.sum() + (1.0 if next(steps) <= CHECK_EVERY else 12.0)

    def make():
        task = make_task(loss=loss)
        return make_training(make_recipe(epochs=10), task, validate_steps=60)

    training, _ = run_interrupted(make, [interrupted] if interrupted else [], store)
    assert training.diverged == "training loss 12 is above 10 at step 32"


def everything(training):
    """The state of a trial as one comparable value."""

    def plain(value):
        if isinstance(value, torch.Tensor):
            return (str(value.dtype), value.tolist())
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list | tuple) else repr(value)

    return plain(
        {
            "model": training.model.state_dict(),
            "optimizer": training.optimizer.state_dict(),
            "scheduler": training.scheduler.state_dict(),
            "ema": training.ema.average,
            "position": vars(checkpoint_state.Position.of(training)),
            "loss_sum": training.loss_sum,
            "rng": torch.get_rng_state(),
        }
    )


def other_threads(training):
    torch.set_num_threads(2)
    try:
        return checkpoint_state.pack(training)
    finally:
        torch.set_num_threads(1)


def other_torch(training):
    version = torch.__version__
    torch.__version__ = "1.0.0"
    try:
        return checkpoint_state.pack(training)
    finally:
        torch.__version__ = version


def other_fused(training):
    fused = make_training(make_recipe(optimizer={"name": "sgd", "lr": 0.05, "fused": True}))
    run(fused, until=9)
    return checkpoint_state.pack(fused)


def other_recipe(training):
    another = make_training(make_recipe(optimizer={"name": "sgd", "lr": 0.06}))
    run(another, until=9)
    return checkpoint_state.pack(another)


def other_model(training):
    """Whose shapes differ in the last layer: what comes before it has been loaded by then."""

    def make_wider():
        return nn.Sequential(*make_model()[:-1], nn.Linear(8, CLASSES + 1))

    another = make_training(task=make_task(model=make_wider))
    run(another, until=9)
    return checkpoint_state.pack(another)


class Attack:
    def __reduce__(self):
        return (exec, ("raise SystemError('code from a checkpoint ran')",))


def attack(training):
    file = io.BytesIO()
    torch.save({"facts": Attack()}, file)
    return file.getvalue()


UNUSABLE = {
    "other threads": (other_threads, "was made with another threads; starting anew"),
    "other torch": (other_torch, "was made with another torch; starting anew"),
    "other fused": (other_fused, "was made with another fused and recipe; starting anew"),
    "other recipe": (other_recipe, "was made with another recipe; starting anew"),
    "other model": (other_model, "does not fit, starting anew: RuntimeError: Error(s) in loading"),
    "code": (attack, "cannot be read, starting anew: UnpicklingError: Weights only load failed"),
    "nothing": (lambda training: b"", "cannot be read, starting anew: "),
    "garbage": (lambda training: bytes(range(256)) * 50, "cannot be read, starting anew: "),
    "half": (
        lambda training: checkpoint_state.pack(training)[:2000],
        "cannot be read, starting anew: ",
    ),
    "a list": (lambda training: saved_value([1]), "it holds list, but a mapping is needed"),
    "a pickle": (lambda training: pickle.dumps({"facts": {}}), "it is no file of torch.save"),
    "torch's older format": (
        lambda training: saved_value({}, _use_new_zipfile_serialization=False),
        "it is no file of torch.save",
    ),
    "a zip bomb": (lambda training: zipped(bytes(1 << 24), ZIP_DEFLATED), "it is compressed"),
    "a size that is claimed": (
        lambda training: claims(zipped(b"small", ZIP_STORED), 5, 1 << 40),
        "it claims 1099511627776 bytes and has ",
    ),
    "a tensor of few bytes and many elements": (
        lambda training: changed(training, ema=[torch.zeros(1).expand(1 << 40)]),
        "a tensor of 4398046511104 bytes is in a file of ",
    ),
    "a sparse tensor that points outside": (
        lambda training: changed(training, loss_sum=outside()),
        "cannot be read, starting anew: RuntimeError: ",
    ),
    "a step in words": (
        lambda training: moved(training, step="2"),
        "does not fit, starting anew: ValueError: position.step is of another kind: str",
    ),
    "a position without its step": (
        lambda training: changed(training, position={}),
        "does not fit, starting anew: ValueError: position has other fields",
    ),
    "a scheduler whose method is a number": (
        lambda training: changed(
            training, scheduler={**training.scheduler.state_dict(), "step": 1}
        ),
        "does not fit, starting anew: ValueError: scheduler has other fields",
    ),
    "a row in words": (
        lambda training: changed(training, rows=json.dumps([{**ROW, "val_loss": "low"}])),
        "cannot be read, starting anew: ValueError: val_loss = 'low' in a row of its curve",
    ),
    "rows without end": (
        lambda training: changed(training, rows="[" * 100_000),
        "cannot be read, starting anew: RecursionError",
    ),
    "facts alone": (
        lambda training: saved_value({"facts": vars(checkpoint_state.Facts.of(training))}),
        "cannot be read, starting anew: TypeError",
    ),
    "no weights": (
        lambda training: saved_value(
            {"facts": vars(checkpoint_state.Facts.of(training)), "rows": "[]"}
        ),
        "cannot be read, starting anew: TypeError",
    ),
}


ROW = {
    "validation": 1,
    "step": 1,
    "epoch": 1.0,
    "lr": 0.1,
    "train_loss": None,
    "val_loss": 1.0,
    "val_loss_ema": None,
    "metrics": {},
    "metrics_ema": None,
    "grad_norm": None,
    "seconds": 1.0,
}


def saved_value(value, **options):
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def changed(training, **fields):
    """A checkpoint with these fields of its own."""
    saved = torch.load(io.BytesIO(checkpoint_state.pack(training)), weights_only=True)
    return saved_value({**saved, **fields})


def moved(training, **fields):
    return changed(training, position={**vars(checkpoint_state.Position.of(training)), **fields})


def outside():
    """A sparse tensor with an element beyond its shape."""
    with torch.sparse.check_sparse_tensor_invariants(enable=False):
        return torch.sparse_coo_tensor(torch.tensor([[1 << 30]]), torch.ones(1), (2,))


def zipped(content, compression):
    file = io.BytesIO()
    with ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", content)
    return file.getvalue()


def claims(data, size, claimed):
    """The archive whose directory says another size of its file (zip's "central directory")."""
    place = data.rindex(b"PK\1\2")
    assert int.from_bytes(data[place + 24 : place + 28], "little") == size
    # As zip64, whose sizes have eight bytes, in an extra field.
    extra = b"\1\0\x10\0" + 2 * claimed.to_bytes(8, "little")
    end = data.rindex(b"PK\5\6")
    head = bytearray(data[place:end])
    head[20:28] = b"\xff" * 8
    head[30:32] = len(extra).to_bytes(2, "little")
    tail = bytearray(data[end:])
    tail[12:16] = (len(head) + len(extra)).to_bytes(4, "little")
    return data[:place] + bytes(head) + extra + bytes(tail)


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_checkpoint_that_cannot_be_used_leaves_the_trial_at_its_start(kind, caplog):
    make, message = UNUSABLE[kind]
    training = make_training()
    run(training, until=9)
    data = make(training)
    fresh = make_training()
    before = everything(fresh)
    assert checkpoint_state.unpack(fresh, data) is None
    assert everything(fresh) == before
    (line,) = caplog.messages
    assert line.startswith("a checkpoint")
    assert message in line
    assert "\n" not in line
    rows, whole = run(fresh), make_training()
    expected = timeless(run(whole))
    assert_same_run(fresh, rows, (whole.model.state_dict(), expected))


def test_a_loaded_trial_stands_where_the_saved_one_stood(store):
    training = make_training(make_recipe(schedule="plateau", clip_norm=1.0))
    run(training, until=9)
    saved = everything(training)
    loaded = pass_on(training, store, lambda: make_training(training.recipe))
    assert everything(loaded) == saved


def test_a_diverged_trial_stays_diverged(store):
    recipe = make_recipe(optimizer={"name": "sgd", "lr": 1e6})
    training = make_training(recipe)
    run(training)
    resumed = pass_on(training, store, lambda: make_training(recipe))
    assert resumed.done
    assert resumed.diverged == training.diverged is not None


def test_rows_travel_with_a_checkpoint_whatever_they_hold(store):
    training = make_training()
    rows = run(training, until=9)
    wild = {"val_loss": math.inf, "val_loss_ema": None, "train_loss": 5e-324, "metrics": {"ü": 1.0}}
    pass_on(training, store, make_training, rows=[*rows, replace(rows[0], **wild)])


def test_a_checkpoint_holds_nothing_but_tensors_and_plain_values():
    training = make_training()
    run(training, until=9)
    state = torch.load(io.BytesIO(checkpoint_state.pack(training)), weights_only=True)
    assert state["position"]["step"] == 9


def test_a_frozen_layer_resumes_to_the_same_bits(store):
    def make_frozen():
        model = make_model()
        model[0].requires_grad_(False)
        return model

    def make():
        return make_training(
            make_recipe(optimizer={"name": "adam", "lr": 0.05}), make_task(model=make_frozen)
        )

    whole = make()
    expected = timeless(run(whole))
    torch.manual_seed(0)
    assert isinstance(whole.model[0], nn.Linear)
    assert torch.equal(whole.model[0].weight, make_frozen()[0].weight)
    resumed, rows = run_interrupted(make, [10], store)
    assert_same_run(resumed, rows, (whole.model.state_dict(), expected))
