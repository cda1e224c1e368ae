"""A trial alone that repeats a recorded step has the bits of one whose module does every step."""

import math
from dataclasses import replace

import pytest
import torch
from small import make_recipe, make_task, make_training, run
from static_models import WIDTH, Counts, DropsPaths, Plain
from torch import nn
from trained_together import no_dropout, with_dropout

from lrsearch.training import repeated_step
from lrsearch.training.recorded_step import Recordings
from lrsearch.training.repeated_step import CHECK_STEPS, RepeatedStep

EXACT = {"optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}}
ADAMW = {"optimizer": {"name": "adamw", "lr": 0.01}}
FUSED = {"optimizer": {"name": "adamw", "lr": 0.01, "fused": True}}
SHAPED = {"optimizer": {"name": "adafactor", "lr": 0.01}}


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Record at the third step that a trial asks for, and repeat it whatever it saves."""
    monkeypatch.setattr(repeated_step, "RECORD_AFTER", 3)
    monkeypatch.setattr(repeated_step, "CHECK_STEPS", -math.inf)


class Asked:
    """Recordings, and how many steps were repeated."""

    def __init__(self):
        self.recordings, self.repeated = Recordings(), 0
        real = self.recordings.written

        def counted(*arguments):
            written = real(*arguments)
            self.repeated += written is not None
            return written

        self.recordings.written = counted


def trained(recipe, task, recordings=None, **how):
    training = make_training(recipe, task, recordings, validate_steps=5)
    rows = run(training, **how)
    return training, [(row.train_loss, row.val_loss, row.grad_norm) for row in rows]


class Idle(nn.Module):
    """A parameter without gradient, which torch's optimizers leave alone, and which is read."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = Plain(), nn.Parameter(torch.randn(1))

    def forward(self, inputs):
        return self.used(inputs * (1 + 0.1 * self.unused.detach()))


@pytest.mark.parametrize("make", [Plain, no_dropout, with_dropout, Idle])
@pytest.mark.parametrize("changes", [EXACT, {**ADAMW, "clip_norm": 0.5}, FUSED, SHAPED])
def test_every_step_has_the_bits_of_the_module(make, changes):
    """Weights, averages, losses, norms of gradients; random masks too. The next trial of the task
    repeats from its second step on."""
    task, asked = make_task(model=make), Asked()
    for seed in (0, 1):
        recipe = make_recipe(**changes, seed=seed)
        wanted, rows = trained(recipe, task)
        given, mine = trained(recipe, task, asked.recordings)
        assert asked.repeated == seed + 1
        assert given._written
        assert mine == rows
        assert all(map(torch.equal, given.parameters, wanted.parameters))
        assert all(map(torch.equal, given.ema.average, wanted.ema.average))


def test_an_interrupted_trial_goes_on_with_the_same_bits():
    task, recordings = make_task(model=no_dropout), Recordings()
    recipe = make_recipe(**ADAMW)
    wanted, _ = trained(recipe, task)
    first, _ = trained(recipe, task, recordings, until=9)
    second = make_training(recipe, task, recordings, validate_steps=5)
    assert second.unpack(first.pack()) is not None
    run(second)
    assert second._written
    assert all(map(torch.equal, second.parameters, wanted.parameters))


class OfItsOwn(Plain):
    """A number and a tensor that each model draws for itself and that no state dict has."""

    def __init__(self):
        super().__init__()
        self.scale, self.offsets = float(torch.rand(())), torch.randn(WIDTH)

    def shifted(self, hidden):
        return hidden * self.scale + self.offsets


def test_a_model_that_differs_from_the_recorded_one_does_its_steps_itself():
    task, recordings = make_task(model=OfItsOwn), Recordings()
    for seed in (0, 1):
        recipe = make_recipe(**EXACT, seed=seed)
        wanted, rows = trained(recipe, task)
        given, mine = trained(recipe, task, recordings)
        assert given._written == (seed == 0)
        assert mine == rows
        assert all(map(torch.equal, given.parameters, wanted.parameters))


def hooked():
    """A model that halves a gradient when it has come."""

    def halve(parameter):
        parameter.grad.mul_(0.5)

    model = Plain()
    model.first.weight.register_post_accumulate_grad_hook(halve)
    return model


@pytest.mark.parametrize("make", [Counts, DropsPaths, hooked])
def test_what_is_not_the_same_in_every_step_is_not_repeated(make):
    training, _ = trained(make_recipe(**EXACT), make_task(model=make), Recordings())
    assert training.done
    assert not training._written


class Steps:
    """What asks a recording for its step, which saves this share of a step."""

    def __init__(self, monkeypatch, saves):
        self.checked, real = 0, RepeatedStep._agrees
        written = Recordings.written

        def counted(*arguments):
            self.checked += 1
            return real(*arguments)

        def saving(*arguments):
            step = written(*arguments)
            return None if step is None else replace(step, saves=saves)

        monkeypatch.setattr(repeated_step, "CHECK_STEPS", CHECK_STEPS)
        monkeypatch.setattr(RepeatedStep, "_agrees", counted)
        monkeypatch.setattr(Recordings, "written", saving)


@pytest.mark.parametrize(("saves", "checks"), [(0.5, 1), (0.01, 0), (-0.5, 0)])
def test_a_step_that_saves_less_than_its_check_is_not_repeated(monkeypatch, saves, checks):
    """Fewer steps are left than two of the model's would have to be saved in."""
    steps = Steps(monkeypatch, saves)
    recipe = make_recipe(**EXACT)
    wanted, rows = trained(recipe, make_task(model=Plain))
    given, mine = trained(recipe, make_task(model=Plain), Recordings())
    assert steps.checked == checks
    assert given._written == bool(checks)
    assert mine == rows
    assert all(map(torch.equal, given.parameters, wanted.parameters))


def test_what_is_not_recorded_is_asked_for_once_by_the_trials_that_follow():
    task, recordings = make_task(model=Counts), Recordings()
    trained(make_recipe(**EXACT), task, recordings)
    asked = []
    recordings.is_due = lambda *_: asked.append(1)
    following, _ = trained(make_recipe(**EXACT, seed=1), task, recordings)
    assert following._repeated.refused
    assert not asked


def test_long_steps_are_recorded_later():
    """In proportion, as recording takes longer and saves no more."""
    recordings = Recordings()
    training = make_training(make_recipe(**EXACT), make_task(model=Plain), recordings)
    repeated = training._repeated
    recordings.note_step("key", 3 * repeated_step.LONG_STEP, [])
    assert repeated._record_after("key") == 3 * repeated_step.RECORD_AFTER
    recordings.note_step("key", repeated_step.LONG_STEP / 2, [])
    assert repeated._record_after("key") == repeated_step.RECORD_AFTER


def test_micro_batches_are_not_repeated():
    recipe = make_recipe(**EXACT, accumulate=2)
    training, _ = trained(recipe, make_task(model=Plain), Recordings())
    assert training._repeated is None
