"""A cohort's step, recorded once and repeated, gives the bits of the step itself."""

import math
import random
from functools import partial

import pytest
import torch
from small import CLASSES, FEATURES, make_recipe, make_task
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss, relu
from trained_together import drive, make_cohort, no_dropout, same, with_dropout

from lrsearch.training import recorded_step
from lrsearch.training.recorded_step import Recordings, is_static

WIDTH = 8
COUNTS = []


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, inputs):
        hidden = self.first(inputs).view(len(inputs), -1)
        for _ in range(2):
            hidden = self.shifted(hidden) / math.sqrt(WIDTH)
        return self.second(torch.relu(hidden))

    def shifted(self, hidden):
        return relu(hidden) + WIDTH


class Counts(Plain):
    def forward(self, inputs):
        self.calls = getattr(self, "calls", 0) + 1
        return super().forward(inputs)


class CountsElsewhere(Plain):
    def shifted(self, hidden):
        COUNTS.append(1)
        return hidden


class DropsPaths(Plain):
    def shifted(self, hidden):
        return hidden if random.random() < 0.5 else 2 * hidden


class Reads(Plain):
    @property
    def scale(self):
        return random.random()

    def shifted(self, hidden):
        return self.scale * hidden


def hooked():
    model = Plain()
    model.first.register_forward_hook(lambda *arguments: None)
    return model


def overridden():
    model = Plain()
    model.second.forward = lambda hidden: hidden
    return model


def scaled(output, target):
    return WIDTH * cross_entropy(output, target, label_smoothing=0.1)


def counting(output, target):
    COUNTS.append(1)
    return cross_entropy(output, target)


@pytest.mark.parametrize("make", [Plain, no_dropout, with_dropout])
def test_models_of_tensors_alone_are_static(make):
    losses = [cross_entropy, nn.CrossEntropyLoss(), partial(cross_entropy, label_smoothing=0.1)]
    assert all(is_static(make(), loss) for loss in [*losses, scaled, mse_loss])


@pytest.mark.parametrize(
    "make",
    [Counts, CountsElsewhere, DropsPaths, Reads, hooked, overridden],
    ids=lambda m: m.__name__,
)
def test_models_with_a_state_of_their_own_are_not(make):
    assert not is_static(make(), cross_entropy)


def test_neither_are_losses():
    factor = 2.0
    assert not is_static(Plain(), counting)
    assert not is_static(Plain(), lambda output, target: factor * cross_entropy(output, target))
    assert not is_static(Plain(), partial(cross_entropy, weight=torch.ones(CLASSES)))


@pytest.fixture
def soon(monkeypatch):
    """Record the second step; the functions that were recorded, with what came of it."""
    monkeypatch.setattr(recorded_step, "RECORD_AFTER", 2)
    made = []
    real = recorded_step.record

    def record(function, arguments):
        made.append(real(function, arguments))
        return made[-1]

    monkeypatch.setattr(recorded_step, "record", record)
    return made


RECIPES = [
    make_recipe(optimizer={"name": name, "lr": 0.01}, clip_norm=clip)
    for name, clip in (("adamw", None), ("sgd", 0.5), ("adafactor", None))
]


@pytest.mark.parametrize("make", [Plain, no_dropout, with_dropout])
@pytest.mark.parametrize("changes", [{}, {"accumulate": 2}], ids=["one batch", "two batches"])
def test_what_is_repeated_gives_the_same_bits(make, changes, soon, monkeypatch):
    """Weights, buffers, averages and every validation, random masks too; and so in the next cohort
    of the task, which records nothing anew."""
    recipes = [recipe.model_copy(update=changes) for recipe in RECIPES]
    task = make_task(model=make)
    first = make_cohort(3, task, recipes[0])
    repeated = drive(first, recipes)
    assert len(soon) == 1
    monkeypatch.setattr(recorded_step, "is_static", lambda *_: False)
    monkeypatch.setattr("lrsearch.training.fused.stacked.is_static", lambda *_: False)
    plain = drive(make_cohort(3, task, recipes[0]), recipes)
    assert len(soon) == 1
    for (training, rows), (other, wanted) in zip(repeated, plain, strict=True):
        assert same(training.kept, other.kept)
        assert [row.val_loss for row in rows] == [row.val_loss for row in wanted]


def test_what_does_not_repeat_is_not_kept(soon):
    """The loss reads a number that changes, and nothing says so."""
    numbers = iter(range(100))

    def function(weights, buffers, inputs, targets, factors):
        return weights[0].sum(1) * next(numbers), [weights[0] + 0]

    recordings = Recordings()
    weights = torch.ones(2, 3)
    arguments = ([weights], {}, None, None, torch.ones(2))
    given = [float(recordings.call("key", function, arguments)[0][0]) for _ in range(5)]
    assert soon
    assert given == [0.0, 6.0, 9.0, 12.0, 15.0]


def test_what_cannot_be_recorded_is_called(soon, monkeypatch, caplog):
    def refuse(function, arguments):
        raise RuntimeError("not of this kind")

    monkeypatch.setattr(recorded_step, "record", refuse)
    caplog.set_level("INFO", logger="lrsearch")
    cohort = make_cohort(3, make_task(model=no_dropout), RECIPES[0])
    assert len(drive(cohort, RECIPES)) == 3
    assert caplog.messages == ["a cohort's step is not recorded: RuntimeError: not of this kind"]


def test_a_calibration_records_at_once():
    recordings = Recordings()
    calls = []

    def function(weights, buffers, inputs, targets, factors):
        calls.append(1)
        return weights[0].sum(1), [weights[0] * 2]

    arguments = ([torch.ones(2, 3)], {}, None, None, torch.ones(2))
    with recordings.at_once():
        for _ in range(4):
            recordings.call("key", function, arguments)
    assert len(calls) == 2  # once to record it, once beside it
