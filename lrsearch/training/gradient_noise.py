"""How noisy a trial's gradient is where it stands, from the gradients of batches of one epoch.

Of m batches of b samples each, with gradients g_i and their mean g: S = b sum |g_i - g|^2 / (m - 1)
is the trace of the covariance of a sample's gradient, and |g|^2 - (1 - m / M) S / (m b) the squared
norm of the whole epoch's gradient, where M batches make the epoch. Both are without bias. They are
the estimators of McCandlish et al. 2018 (appendix A.1) for batches of b and of m b samples, of
which the second are made of the first; the factor of M is that of drawing without putting back.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from lrsearch.errors import TaskError
from lrsearch.training.batch_loss import initial_state, training_loss
from lrsearch.training.data import Data
from lrsearch.training.precision import widest_float
from lrsearch.training.randomness import validation_numbers
from lrsearch.training.trial_training import TrialTraining

#: Batches that are taken at most: S is then known to about 18 % for a gradient of one direction,
#: and better the more directions its noise has.
MOST_BATCHES = 64


@dataclass(frozen=True, kw_only=True)
class GradientNoise:
    """What was measured, in the square of the loss's unit by that of the weights'."""

    #: S: trace of the covariance of one sample's gradient.
    noise: float
    #: |G|^2: squared norm of the mean gradient; below 0 where the noise hides it.
    signal: float


def gradient_noise(training: TrialTraining, data: Data, batch_size: int) -> GradientNoise:
    """Measured on the training data, in training mode.

    All of the trial stays as it is but its seconds. Raises TaskError where an epoch has one batch.
    """
    if data.batches < 2:
        raise TaskError(
            f"an epoch has one batch of {batch_size}, but gradient noise shows between batches; "
            f"give the recipe a smaller batch_size"
        )
    started = time.monotonic()
    with _set_aside(training.model), validation_numbers(training.device):
        sums = _Sums(training)
        for batch_gradient in _gradients(training, data):
            sums.add(batch_gradient)
    training.seconds += time.monotonic() - started
    return sums.noise(batch_size, data.batches)


class _Sums:
    """Sums over the gradients of batches, and over their squared norms."""

    def __init__(self, training: TrialTraining) -> None:
        wide = widest_float(training.device)
        self.count, self.squared = 0, 0.0
        self.total = [torch.zeros_like(p, dtype=wide) for p in training.parameters]

    def add(self, gradient: list[Tensor | None]) -> None:
        self.count += 1
        for total, part in zip(self.total, gradient, strict=True):
            if part is not None:
                wide = (part.to_dense() if part.is_sparse else part).to(total.dtype)
                total += wide
                self.squared += float(wide.square().sum())

    def noise(self, batch_size: int, batches: int) -> GradientNoise:
        m = self.count
        mean = math.fsum(float((total / m).square().sum()) for total in self.total)
        noise = batch_size * (self.squared - m * mean) / (m - 1)
        return GradientNoise(
            noise=noise, signal=mean - (1 - m / batches) * noise / (m * batch_size)
        )


def _gradients(training: TrialTraining, data: Data) -> Iterator[list[Tensor | None]]:
    """Of batches of an epoch that the run never trains, one after its last."""
    task, model = training.task, training.model
    scale = 1.0 if training.scaler is None else training.scaler.get_scale()
    epoch = math.ceil(training.plan.total_steps / training.plan.steps_per_epoch)
    carried = initial_state(task, model)
    batches = data.train(training.recipe.seed, epoch + training.validated, 0)
    for batch in islice(batches, min(MOST_BATCHES, data.batches)):
        with training.autocast():
            loss, carried = training_loss(task, model, batch, carried)
        found = torch.autograd.grad(loss * scale, training.parameters, allow_unused=True)
        yield [None if part is None else part / scale for part in found]
        training.beat()


@contextmanager
def _set_aside(model: nn.Module) -> Iterator[None]:
    """In training mode, after which its buffers and its mode are as before."""
    was, kept = model.training, [(buffer, buffer.clone()) for buffer in model.buffers()]
    model.train()
    try:
        yield
    finally:
        model.train(was)
        with torch.no_grad():
            for buffer, before in kept:
                buffer.copy_(before)
