"""The noise of a trial's gradient: estimates against a noise that is known, and what they leave."""

import math
from dataclasses import replace
from statistics import mean

import pytest
import torch
from tiny_studies import tiny_spec
from torch import nn

from lrsearch.errors import TaskError
from lrsearch.recipe.recipe import Recipe
from lrsearch.task.task import Task
from lrsearch.training.data import make_splits
from lrsearch.training.gradient_noise import gradient_noise
from lrsearch.training.solo import SoloTraining
from lrsearch.training.start import plan_of, steps_per_epoch

CPU = torch.device("cpu")
#: Samples, and weights of the quadratic.
N, D = 4096, 12


class Quadratic(nn.Module):
    """Loss |w - x|^2 / 2 of a sample x: its gradient is w - x, whose covariance is that of x."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(D))

    def forward(self, x):
        return ((self.w - x) ** 2).sum(1) / 2


def quadratic(samples, batch_size=16):
    return Task(
        model=Quadratic,
        train=samples,
        validation=samples[:64],
        step=lambda model, x: model(x).mean(),
        batch_size=batch_size,
    )


def training_of(task, seed=0, **recipe):
    fields = {"optimizer": {"name": "sgd", "lr": 0.01}, "epochs": 1, "seed": seed, **recipe}
    made, splits = Recipe.from_dict(fields), make_splits(task, task.batch_size, CPU)
    plan = plan_of(tiny_spec(), made, steps_per_epoch(splits[0], made.accumulate))
    return SoloTraining(task, made, plan, splits, CPU), splits[0]


def samples(n=N, seed=0):
    """With a mean of norm 1.5 and noise of another size in each direction."""
    draws = torch.Generator().manual_seed(seed)
    spread = torch.linspace(0.5, 2.0, D)
    return 1.5 / math.sqrt(D) + spread * torch.randn(n, D, generator=draws)


def known(data):
    """S and |G|^2 at w = 0 of these samples."""
    return float(data.var(0).sum()), float(data.mean(0).square().sum())


def test_both_parts_are_those_of_a_noisy_quadratic():
    data = samples()
    task, (noise, signal) = quadratic(data), known(data)
    found = []
    for seed in range(10):
        training, train = training_of(task, seed)
        found.append(gradient_noise(training, train, 16))
    assert mean(one.noise for one in found) == pytest.approx(noise, rel=0.07)
    assert mean(one.signal for one in found) == pytest.approx(signal, rel=0.07)
    assert all(abs(one.noise / noise - 1) < 0.3 for one in found)


def test_a_whole_epoch_has_the_gradient_of_all_samples_without_noise():
    """Where every batch of the epoch is taken, |G|^2 is exact, whatever their order."""
    data = samples(n=512)
    _, signal = known(data)
    for seed in range(3):
        training, train = training_of(quadratic(data), seed)
        assert gradient_noise(training, train, 16).signal == pytest.approx(signal, rel=1e-5)


def test_the_estimate_does_not_depend_on_the_batch_it_is_made_of():
    data = samples()
    noise, signal = known(data)
    for size in (8, 64):
        found = []
        for seed in range(10):
            training, train = training_of(quadratic(data, size), seed)
            found.append(gradient_noise(training, train, size))
        assert mean(one.noise for one in found) == pytest.approx(noise, rel=0.12)
        assert mean(one.signal for one in found) == pytest.approx(signal, rel=0.2)


def norm_net():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 1))


def test_it_leaves_a_trial_as_it_is():
    """Weights, running statistics, gradients and random numbers of what follows: the same bits."""
    draws = torch.Generator().manual_seed(1)
    x = torch.randn(64, 3, generator=draws)
    task = Task(
        model=norm_net,
        train=(x, x[:, :1]),
        validation=(x, x[:, :1]),
        loss=nn.functional.mse_loss,
        batch_size=8,
    )
    plain, _ = training_of(task)
    plain.advance(8)
    measured, train = training_of(task)
    measured.advance(3)
    assert gradient_noise(measured, train, 8).noise > 0
    measured.advance(8)
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, measured.model.state_dict()[name]), name


def test_an_epoch_of_one_batch_is_refused():
    task = replace(quadratic(samples(n=20)), batch_size=16)
    training, train = training_of(task)
    with pytest.raises(TaskError, match="an epoch has one batch of 16"):
        gradient_noise(training, train, 16)
