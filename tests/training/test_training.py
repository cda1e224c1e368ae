"""Training: what a trial measures, when it has diverged, and the data it sees."""

import itertools
import math
from dataclasses import replace

import pytest
import reference
import torch
from small import (
    BATCH_SIZE,
    CPU,
    EPOCHS,
    STEPS_PER_EPOCH,
    TRAIN,
    VALIDATION,
    accuracy,
    make_model,
    make_recipe,
    make_task,
    make_tensors,
    make_training,
    run,
)
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from lrsearch.errors import DeviceError, TaskError
from lrsearch.training.data import make_data, make_splits
from lrsearch.training.devices import devices, pick_device
from lrsearch.training.ema import Ema
from lrsearch.training.trial_training import CHECK_EVERY
from lrsearch.trial.divergence import divergence_limit

TOTAL_STEPS = EPOCHS * STEPS_PER_EPOCH
ADAM = {"name": "adam", "lr": 0.05}


def sgd(lr):
    return {"name": "sgd", "lr": lr}


def same_bits(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Divergence


@pytest.mark.parametrize("lr", [1e3, 1e6, 1e30])
def test_a_huge_lr_has_diverged_within_the_first_epoch(lr):
    training = make_training(make_recipe(optimizer=sgd(lr)))
    assert run(training) == []
    assert training.done
    assert training.step <= STEPS_PER_EPOCH
    assert training.diverged is not None


def test_the_reason_says_how_high_the_loss_was_and_what_was_allowed():
    training = make_training(make_recipe(optimizer=sgd(100.0)))
    run(training)
    limit = divergence_limit(training.start_loss)
    mean = float(training.loss_sum) / training.loss_steps
    assert training.diverged == f"training loss {mean:.3g} is above {limit:.3g} at step 6"
    assert mean > limit == pytest.approx(10 * training.start_loss)


def test_divergence_is_seen_before_the_end_of_a_long_epoch():
    task = make_task(train=make_tensors(100 * BATCH_SIZE, seed=3))
    training = make_training(make_recipe(optimizer=sgd(1e4)), task)
    run(training)
    assert training.plan.steps_per_epoch == 100
    assert training.step == CHECK_EVERY


def test_a_loss_that_becomes_nan_has_diverged():
    steps = []

    def loss(output, target):
        steps.append(1)
        return cross_entropy(output, target) * (math.nan if len(steps) == 3 else 1.0)

    training = make_training(task=make_task(loss=loss))
    run(training)
    assert training.diverged == "training loss is not finite by step 6"


def test_a_loss_that_is_nan_from_the_start_has_diverged():
    training = make_training(task=make_task(loss=lambda o, t: cross_entropy(o, t) * math.nan))
    run(training)
    assert training.diverged == "training loss is not finite by step 6"


def test_a_validation_loss_that_is_not_finite_has_diverged():
    inputs, targets = VALIDATION[0].clone(), VALIDATION[1]
    inputs[3, 2] = math.inf
    training = make_training(task=make_task(validation=(inputs, targets)))
    rows = run(training)
    assert len(rows) == 1
    assert not math.isfinite(rows[0].val_loss)
    assert training.diverged == f"validation loss is not finite at step {STEPS_PER_EPOCH}"


class BreaksWeights(nn.Module):
    """Its loss stays finite, but the gradient of one weight does not."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.extra = nn.Parameter(torch.zeros(()))

    def forward(self, inputs):
        output = self.linear(inputs)
        return output + 0 * self.extra.sqrt() if self.training else output


def test_weights_that_are_not_finite_have_diverged():
    training = make_training(task=make_task(model=BreaksWeights), validate_steps=1)
    (row,) = run(training)
    assert math.isfinite(row.train_loss)
    assert math.isfinite(row.val_loss)
    assert training.diverged == "weights are not finite at step 1"


@pytest.mark.parametrize(
    ("start", "limit"), [(2.0, 20.0), (0.1, 1.0), (-2.0, 16.0), (0.0, math.inf), (-1e-9, 8e-9)]
)
def test_the_limit_is_nine_times_the_first_loss_above_it(start, limit):
    assert divergence_limit(start) == pytest.approx(limit)
    assert divergence_limit(start) > start


@pytest.mark.parametrize("shift", [-10.0, -1.0, 0.0, 10.0])
def test_a_loss_of_any_sign_trains_and_diverges(shift):
    task = make_task(loss=lambda o, t: cross_entropy(o, t) + shift)
    good = make_training(make_recipe(optimizer=ADAM), task)
    rows = run(good)
    assert good.diverged is None
    assert rows[-1].val_loss < rows[0].val_loss
    bad = make_training(make_recipe(optimizer=sgd(1e4)), task)
    run(bad)
    assert bad.diverged is not None


# The rows of a curve


def test_a_row_says_where_the_trial_stands():
    training = make_training(make_recipe(schedule="linear"))
    rows = run(training)
    assert [row.validation for row in rows] == [1, 2, 3, 4]
    assert [row.step for row in rows] == [6, 12, 18, 24]
    assert [row.epoch for row in rows] == [1.0, 2.0, 3.0, 4.0]
    assert [row.lr for row in rows] == pytest.approx([0.05 * (1 - s / 24) for s in (5, 11, 17, 23)])
    assert all(0 < a.seconds < b.seconds for a, b in itertools.pairwise(rows))
    assert training.done
    assert (training.step, training.epochs, training.diverged) == (24, 4.0, None)


@pytest.mark.parametrize(
    ("interval", "steps"),
    [
        ({"validate_steps": 10}, [10, 20, 24]),
        ({"validate_steps": 1}, list(range(1, 25))),
        ({"validate_fraction": 0.25}, [6, 12, 18, 24]),
        ({"validate_fraction": 0.4}, [12, 24]),
        ({"validate_fraction": 1.0}, [24]),
    ],
    ids=str,
)
def test_validations_may_ignore_epochs(interval, steps):
    rows = run(make_training(**interval))
    assert [row.step for row in rows] == steps
    assert [row.epoch for row in rows] == [step / STEPS_PER_EPOCH for step in steps]
    assert [row.validation for row in rows] == list(range(1, len(steps) + 1))


def test_when_a_trial_is_validated_does_not_change_its_weights():
    weights = []
    for interval in ({"validate_fraction": 1.0}, {"validate_steps": 1}):
        training = make_training(make_recipe(optimizer=ADAM), **interval)
        run(training)
        weights.append(training.model.state_dict())
    assert same_bits(*weights)


def test_the_training_loss_is_the_mean_since_the_last_validation():
    losses = []

    def loss(output, target):
        value = cross_entropy(output, target)
        if value.requires_grad:
            losses.append(float(value.detach()))
        return value

    rows = run(make_training(task=make_task(loss=loss), validate_steps=10))
    means = [sum(losses[a:b]) / (b - a) for a, b in ((0, 10), (10, 20), (20, 24))]
    assert [row.train_loss for row in rows] == pytest.approx(means, rel=1e-12)


def test_loss_and_metrics_are_means_over_samples_though_the_last_batch_is_smaller():
    sizes = []

    def count(output, target):
        sizes.append(len(target))
        return torch.tensor(float(len(target)))

    training = make_training(task=make_task(metrics={"accuracy": accuracy, "count": count}))
    row = run(training, until=STEPS_PER_EPOCH)[0]
    with torch.no_grad():
        output = training.model.eval()(VALIDATION[0])
    assert sizes[:2] == [128, 22]
    assert row.val_loss == pytest.approx(float(cross_entropy(output, VALIDATION[1])), rel=1e-6)
    assert row.metrics["accuracy"] == pytest.approx(float(accuracy(output, VALIDATION[1])))
    assert row.metrics["count"] == pytest.approx((128 * 128 + 22 * 22) / 150)


def test_a_metric_may_be_a_number_of_pythons():
    task = make_task(metrics={"one": lambda output, target: 1})
    assert run(make_training(task=task))[0].metrics == {"one": 1.0}


class Pairs(Dataset):
    """Targets as a tuple: the size of a batch is not the length of its targets."""

    def __len__(self):
        return len(VALIDATION[0])

    def __getitem__(self, index):
        return {"x": VALIDATION[0][index]}, (VALIDATION[1][index], index)


class OfMappings(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = make_model()

    def forward(self, batch):
        return self.model(batch["x"])


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: lambda: DataLoader(d, batch_size=128)])
def test_samples_may_be_tuples_and_mappings(wrap):
    task = make_task(
        model=OfMappings,
        train=Pairs(),
        validation=wrap(Pairs()),
        loss=lambda output, targets: cross_entropy(output, targets[0]),
        metrics={"index": lambda output, targets: targets[1].double().mean()},
    )
    row = run(make_training(task=task))[0]
    assert row.metrics["index"] == pytest.approx(sum(range(150)) / 150)


# Gradients


def first_gradients(recipe):
    """Of the first batch, by hand."""
    torch.manual_seed(recipe.seed)
    model = make_model()
    order = torch.randperm(99, generator=torch.Generator().manual_seed(recipe.seed * 1_000_003))
    batch = order[:BATCH_SIZE]
    cross_entropy(model(TRAIN[0][batch]), TRAIN[1][batch]).backward()
    return model


@pytest.mark.parametrize("clip_norm", [None, 1e-3, 1e3])
def test_the_gradient_norm_is_that_of_the_last_step_before_clipping(clip_norm):
    recipe = make_recipe(clip_norm=clip_norm, seed=5)
    row = run(make_training(recipe, validate_steps=1), until=1)[0]
    model = first_gradients(recipe)
    by_hand = math.sqrt(sum(float((p.grad.double() ** 2).sum()) for p in model.parameters()))
    assert row.grad_norm == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("clip_norm", [1e-3, 1e3])
def test_gradients_are_clipped_as_torch_does(clip_norm):
    recipe = make_recipe(clip_norm=clip_norm, seed=5)
    training = make_training(recipe, validate_steps=1)
    run(training, until=1)
    model = first_gradients(recipe)
    clip_grad_norm_(model.parameters(), clip_norm)
    for mine, by_hand in zip(training.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(mine, by_hand.detach().add(by_hand.grad, alpha=-0.05))


def test_clipping_holds_the_step_below_its_norm():
    @torch.no_grad()
    def weights_of(training):
        return nn.utils.parameters_to_vector(training.model.parameters()).clone()

    def step_length(clip_norm):
        training = make_training(make_recipe(optimizer=sgd(1.0), clip_norm=clip_norm))
        before = weights_of(training)
        training.advance(1)
        return float((weights_of(training) - before).norm())

    assert step_length(1e-2) == pytest.approx(1e-2, rel=1e-3)
    assert step_length(None) > 0.1


# The averaged weights


@pytest.mark.parametrize("epochs", [0.5, 1.0, 3.0])
def test_the_average_is_that_of_the_formula(epochs):
    training = make_training(make_recipe(optimizer=ADAM, ema={"epochs": epochs}))
    decay = 1 - 1 / (epochs * STEPS_PER_EPOCH)

    def live():
        state = training.model.state_dict()
        return {k: v.double().clone() for k, v in state.items() if v.is_floating_point()}

    by_hand = live()
    for step in range(1, TOTAL_STEPS + 1):
        run(training, until=step)
        now = live()
        by_hand = {k: decay * by_hand[k] + (1 - decay) * now[k] for k in by_hand}
    averaged = training.ema.weights()
    for name, value in by_hand.items():
        torch.testing.assert_close(averaged[name].double(), value, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(averaged["0.weight"], training.model[0].weight)
    assert not torch.allclose(averaged["1.running_var"], training.model[1].running_var)


def test_integer_buffers_are_copied():
    training = make_training()
    run(training)
    assert training.ema.weights()["1.num_batches_tracked"] == TOTAL_STEPS


@pytest.mark.parametrize("span", [1, 0.5, 1e-3])
def test_an_average_over_at_most_one_step_is_the_last_weights(span):
    model = make_model()
    ema = Ema(model, span=span)
    with torch.no_grad():
        model[0].weight += 1
    ema.update()
    assert same_bits(ema.weights(), model.state_dict())


class ReplacesBuffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("level", torch.zeros(()))


def test_a_buffer_that_the_model_replaces_is_averaged_too():
    model = ReplacesBuffer()
    ema = Ema(model, span=2, patterns=["level"])
    for level in (4.0, 8.0):
        model.level = torch.tensor(level)
        ema.update()
    assert float(ema.weights()["level"]) == 5.0


def by_hand(weights):
    """Validation loss and accuracy of a new model with these weights."""
    model = make_model()
    model.load_state_dict({name: value.clone() for name, value in weights.items()})
    return tuple(
        reference.validate(model, VALIDATION, score, 8 * BATCH_SIZE)
        for score in (cross_entropy, accuracy)
    )


def test_both_losses_of_a_row_are_those_of_their_weights():
    training = make_training(make_recipe(optimizer=ADAM))
    row = run(training)[-1]
    raw, averaged = by_hand(training.model.state_dict()), by_hand(training.ema.weights())
    assert (row.val_loss, row.val_loss_ema) == (raw[0], averaged[0])
    assert row.val_loss != row.val_loss_ema
    assert row.metrics == {"accuracy": raw[1]}


def test_the_metrics_are_those_of_the_deployed_weights():
    training = make_training(make_recipe(optimizer=sgd(0.2), weights="ema"))
    row = run(training, until=STEPS_PER_EPOCH)[0]
    raw, averaged = by_hand(training.model.state_dict()), by_hand(training.ema.weights())
    assert raw[1] != averaged[1]
    assert row.metrics == {"accuracy": averaged[1]}


def test_validating_the_average_leaves_the_model_as_it_was():
    training = make_training(make_recipe(optimizer=ADAM))
    run(training, until=5)
    training.advance(6)
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    training.validate(with_ema=True)
    assert same_bits(training.model.state_dict(), before)


@pytest.mark.parametrize(
    ("changes", "with_ema", "validated"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"weights": "ema"}, False, True),
        ({"ema": None}, True, False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_average_is_validated_when_asked_for_or_deployed(changes, with_ema, validated):
    training = make_training(make_recipe(**changes))
    training.advance(training.next_validation)
    row = training.validate(with_ema=with_ema)
    assert (row.val_loss_ema is not None) is validated


def test_averaging_does_not_change_the_training():
    weights = []
    for ema in (None, {"epochs": 1.0}, {"epochs": 3.0}):
        training = make_training(make_recipe(ema=ema))
        run(training)
        weights.append(training.model.state_dict())
    assert same_bits(weights[0], weights[1])
    assert same_bits(weights[0], weights[2])


# Precision and modes


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_a_trial_computes_in_its_precision_and_keeps_its_weights_in_fp32(precision, dtype):
    seen = set()

    def loss(output, target):
        seen.add(output.dtype)
        return cross_entropy(output, target)

    training = make_training(make_recipe(precision=precision), make_task(loss=loss))
    run(training)
    assert seen == {dtype}
    assert {p.dtype for p in training.model.parameters()} == {torch.float32}


def test_a_model_trains_in_training_mode_and_is_validated_in_evaluation_mode():
    modes = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = make_model()

        def forward(self, inputs):
            modes.append((self.training, torch.is_grad_enabled()))
            return self.model(inputs)

    run(make_training(task=make_task(model=Spy)), until=2 * STEPS_PER_EPOCH)
    epoch = [(True, True)] * STEPS_PER_EPOCH + [(False, False)] * 4  # two batches, raw and averaged
    assert modes == epoch * 2


def test_the_seed_decides_initial_weights_dropout_and_order():
    firsts = [run(make_training(make_recipe(seed=seed)))[0] for seed in (0, 0, 1)]
    same, again, other = (replace(row, seconds=0.0) for row in firsts)
    assert same == again
    assert same.train_loss != other.train_loss


# The data


class Samples(Dataset):
    """The training set; reading a sample may draw random numbers, and change it by them."""

    def __init__(self, draws=False, noise=0.0):
        self.draws, self.noise = draws, noise

    def __len__(self):
        return len(TRAIN[0])

    def __getitem__(self, index):
        inputs = TRAIN[0][index]
        if self.draws:
            inputs = inputs + self.noise * torch.randn(inputs.shape)
        return inputs, TRAIN[1][index]


def loader_of(dataset, **arguments):
    return lambda: DataLoader(dataset, **{"batch_size": BATCH_SIZE, "shuffle": True, **arguments})


def batches_of(source, seed=0, epoch=0, skip=0):
    data = make_data(source, BATCH_SIZE, CPU, "train")
    return [inputs for inputs, _ in data.train(seed, epoch, skip)]


@pytest.mark.parametrize("source", [TRAIN, list(TRAIN), TensorDataset(*TRAIN), Samples()], ids=type)
@pytest.mark.parametrize(("seed", "epoch", "skip"), [(0, 0, 0), (0, 1, 0), (3, 2, 4), (3, 2, 6)])
def test_the_order_is_the_documented_permutation(source, seed, epoch, skip):
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(99, generator=generator)
    data = make_data(source, BATCH_SIZE, CPU, "train")
    batches = list(data.train(seed, epoch, skip))
    assert len(batches) == 6 - skip  # 99 samples: the last 3 are dropped
    for step, (inputs, targets) in enumerate(batches, start=skip):
        index = order[step * BATCH_SIZE : (step + 1) * BATCH_SIZE]
        assert torch.equal(inputs, TRAIN[0][index])
        assert torch.equal(targets, TRAIN[1][index])


@pytest.mark.parametrize(
    "source",
    [VALIDATION, TensorDataset(*VALIDATION), loader_of(TensorDataset(*VALIDATION), shuffle=False)],
    ids=["tensors", "dataset", "loader"],
)
def test_validation_has_every_sample_once_in_order(source):
    data = make_data(source, BATCH_SIZE, CPU, "validation")
    batches = list(data.validation())
    assert torch.equal(torch.cat([inputs for inputs, _ in batches]), VALIDATION[0])
    assert torch.equal(torch.cat([targets for _, targets in batches]), VALIDATION[1])


def test_a_tensor_of_another_memory_layout_keeps_it():
    images = torch.randn(32, 3, 4, 4).to(memory_format=torch.channels_last)
    (batch, _) = batches_of((images, torch.arange(32)))
    assert batch.is_contiguous(memory_format=torch.channels_last)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(batch, images[order[:BATCH_SIZE]])


LOADERS = {
    "shuffle": {},
    "a generator of its own": {"generator": torch.Generator()},
    "random transforms": {"dataset": Samples(draws=True, noise=0.1)},
    "workers": {"dataset": Samples(draws=True, noise=0.1), "num_workers": 1},
    "persistent workers": {
        "dataset": Samples(draws=True, noise=0.1),
        "num_workers": 1,
        "persistent_workers": True,
    },
}


@pytest.mark.parametrize("kind", LOADERS)
def test_a_loader_gives_the_same_batches_for_the_same_seed_and_epoch(kind):
    arguments = dict(LOADERS[kind])
    make = loader_of(arguments.pop("dataset", Samples()), **arguments)
    data = make_data(make, BATCH_SIZE, CPU, "train")

    def epoch_of(seed, epoch, skip=0):
        torch.rand(7)  # the process has drawn who knows how much before
        return torch.stack([inputs for inputs, _ in data.train(seed, epoch, skip)])

    first = epoch_of(0, 0)
    assert not torch.equal(epoch_of(0, 1), first)
    assert not torch.equal(epoch_of(1, 0), first)
    assert torch.equal(epoch_of(0, 0), first)
    assert torch.equal(epoch_of(0, 0, skip=4), first[4:])
    assert torch.equal(torch.stack(batches_of(make)), first)


def test_a_loader_with_random_transforms_validates_the_same_samples_each_time():
    data = make_data(loader_of(Samples(draws=True, noise=0.1)), BATCH_SIZE, CPU, "validation")
    passes = [torch.cat([inputs for inputs, _ in data.validation()]) for _ in range(2)]
    assert torch.equal(*passes)


def test_a_loader_leaves_the_random_stream_of_the_model_alone():
    weights = []
    for draws in (False, True):
        task = make_task(train=loader_of(Samples(draws=draws)))
        training = make_training(task=task)
        run(training)
        weights.append(training.model.state_dict())
    assert same_bits(*weights)


def test_validating_with_a_loader_leaves_the_random_stream_of_the_model_alone():
    weights = []
    for validation in (VALIDATION, loader_of(TensorDataset(*VALIDATION))):
        training = make_training(task=make_task(validation=validation), validate_steps=1)
        run(training)
        weights.append(training.model.state_dict())
    assert same_bits(*weights)


class DocumentedOrder:
    """A batch sampler in the order of `test_the_order_is_the_documented_permutation`."""

    epoch = -1

    def __len__(self):
        return STEPS_PER_EPOCH

    def __iter__(self):
        self.epoch += 1
        generator = torch.Generator().manual_seed(self.epoch)
        order = torch.randperm(99, generator=generator).tolist()
        for step in range(STEPS_PER_EPOCH):
            torch.rand(5)
            yield order[step * BATCH_SIZE : (step + 1) * BATCH_SIZE]


def test_a_loader_in_the_documented_order_trains_to_the_bits_of_the_tensors():
    """So nothing of a loader reaches the model but its batches."""

    def documented():
        return DataLoader(Samples(draws=True), batch_sampler=DocumentedOrder())

    weights = []
    for train in (TRAIN, documented):
        training = make_training(task=make_task(train=train))
        run(training)
        weights.append(training.model.state_dict())
    assert same_bits(*weights)


@pytest.mark.parametrize("drop_last", [False, True])
def test_the_last_partial_batch_of_a_loader_is_dropped(drop_last):
    batches = batches_of(loader_of(Samples(), drop_last=drop_last))
    assert [len(batch) for batch in batches] == [BATCH_SIZE] * 6


# What cannot be trained


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(*TRAIN, strict=True))


class StreamWithLength(Stream):
    def __len__(self):
        return len(TRAIN[0])


class NoLength(Dataset):
    def __getitem__(self, index):
        return TRAIN[0][index], TRAIN[1][index]


def raising():
    raise RuntimeError("no such\nfile")


EMPTY = torch.zeros(0, 6), torch.zeros(0, dtype=torch.int64)
ENDLESS = "whose length is unknown; say how many optimizer steps an epoch has: Task(steps_per_epoch"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": EMPTY}, "train is empty"),
        ({"validation": EMPTY}, "validation is empty"),
        ({"validation": TensorDataset(*EMPTY)}, "validation is empty"),
        ({"validation": lambda: DataLoader(TensorDataset(*EMPTY))}, "validation is empty"),
        (
            {"train": make_tensors(15, seed=0)},
            "train has 15 samples, fewer than one batch of 16; the last partial batch is dropped, "
            "so make batch_size smaller",
        ),
        ({"train": TensorDataset(*make_tensors(15, seed=0))}, "train has 15 samples, fewer than"),
        ({"train": (TRAIN[0], TRAIN[1][:-1])}, "train has 99 inputs, but 98 targets"),
        ({"validation": (VALIDATION[0][1:], VALIDATION[1])}, "validation has 149 inputs, but 150"),
        ({"train": Stream()}, f"train is Stream, {ENDLESS}"),
        ({"train": StreamWithLength()}, f"train is StreamWithLength, {ENDLESS}"),
        (
            {"train": NoLength()},
            "train is NoLength, whose length is unknown; give it __len__, or make it an "
            "IterableDataset",
        ),
        ({"train": lambda: DataLoader(Stream())}, f"train is Stream, {ENDLESS}"),
        (
            {"validation": lambda: DataLoader(Stream())},
            "validation is Stream, whose length is unknown; say how many batches a validation "
            "takes: Task(validation_batches",
        ),
        ({"steps_per_epoch": 0}, "steps_per_epoch = 0, but a whole number from 1 is needed"),
        ({"validation_batches": 1.5}, "validation_batches = 1.5, but a whole number from 1"),
        (
            {"train": 5},
            "train is int, but (inputs, targets) tensors, a Dataset or a function that returns a "
            "DataLoader is needed",
        ),
        ({"train": None}, "train is NoneType, but (inputs, targets) tensors"),
        ({"train": TRAIN[0]}, "train is Tensor, but (inputs, targets) tensors"),
        ({"train": (*TRAIN, TRAIN[1])}, "train is tuple, but (inputs, targets) tensors"),
        (
            {"train": DataLoader(TensorDataset(*TRAIN))},
            "train is DataLoader, but (inputs, targets) tensors, a Dataset or a function that "
            "returns a DataLoader is needed",
        ),
        ({"train": lambda: TRAIN}, "train returned tuple, but a DataLoader is needed"),
        ({"train": raising}, "train raised RuntimeError: no such file"),
        (
            {"validation": loader_of(TensorDataset(*TRAIN), batch_size=100, drop_last=True)},
            "validation's DataLoader drops its only batch; leave drop_last out",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_data_that_cannot_be_trained_on_is_refused_in_one_line(changes, message):
    with pytest.raises(TaskError) as error:
        make_splits(make_task(**changes), BATCH_SIZE, CPU)
    assert str(error.value).startswith(message)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (raising, "the task's model() raised RuntimeError: no such file"),
        (lambda: 5, "the task's model() gave int, but a Module is needed"),
        (nn.ReLU, "the task's model has no parameter to train"),
        (
            lambda: nn.Linear(6, 3).requires_grad_(False),
            "the task's model has no parameter to train",
        ),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused_in_one_line(model, message):
    with pytest.raises(TaskError) as error:
        make_training(task=make_task(model=model))
    assert str(error.value) == message


# Devices


def test_a_device_that_is_not_here_is_refused_with_those_that_are():
    with pytest.raises(DeviceError) as error:
        pick_device("cuda:7")
    assert str(error.value) == f"--device cuda:7: no such device here; found {', '.join(devices())}"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", ""])
def test_a_word_that_is_no_device_is_refused_with_those_that_are(name):
    with pytest.raises(DeviceError) as error:
        pick_device(name)
    assert str(error.value) == (f"--device {name} is no device; accepted: auto, cpu, mps, cuda:N")


def test_auto_is_the_first_device_and_cpu_is_always_there():
    assert str(pick_device("auto")) == devices()[0]
    assert pick_device("cpu") == torch.device("cpu")
