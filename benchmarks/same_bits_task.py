"""The tasks of same_bits.py. In evaluation a model gives its own weights beside the output, so that
the metric `weights` can tell what was trained by all its bits, one by one and in cohorts."""

import atexit
import dataclasses
import hashlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lrsearch

SAMPLES, VALIDATION_SAMPLES, BATCH = 768, 128, 16
INPUTS, HIDDEN, CLASSES = 8, 16, 4
#: After how many losses this process is to be interrupted; 0: never, and they are not counted.
STOP_AFTER = int(os.environ.get("SAME_BITS_STOP_AFTER", "0"))

_losses = 0


class Open(nn.Module):
    """A model that shows its parameters and buffers."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        if self.training:
            return (self.body(inputs),)
        return (self.body(inputs), *self.parameters(), *self.buffers())


def loss(output: Sequence[Tensor], target: Tensor) -> Tensor:
    return cross_entropy(output[0], target)


def stopping_loss(output: Sequence[Tensor], target: Tensor) -> Tensor:
    """The same, but after so many of them in training the process asks itself to end."""
    global _losses
    if torch.is_grad_enabled():
        _losses += 1
        if _losses == STOP_AFTER:
            os.kill(os.getpid(), signal.SIGTERM)
    return loss(output, target)


def tell_losses() -> None:
    with Path(os.environ["SAME_BITS_LOSSES"]).open("a") as file:
        file.write(f"{_losses}\n")


if STOP_AFTER:
    atexit.register(tell_losses)


def weights(output: Sequence[Tensor], target: Tensor) -> Tensor:
    """The first 40 bits of a SHA-256 over weights and buffers: a mean over batches keeps them."""
    digest = hashlib.sha256()
    for tensor in output[1:]:
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return torch.tensor(int.from_bytes(digest.digest()[:5], "big"), dtype=torch.float64)


def make_tensors(samples: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, INPUTS, generator=generator)
    noise = 0.3 * torch.randn(samples, CLASSES, generator=generator)
    return inputs, (inputs[:, :CLASSES] * inputs[:, CLASSES:] + noise).argmax(dim=1)


def opened(task: lrsearch.Task) -> lrsearch.Task:
    """The same training, with the weights as its only metric."""
    return dataclasses.replace(
        task,
        model=lambda: Open(task.model()),
        loss=stopping_loss if STOP_AFTER else loss,
        metrics={"weights": weights},
    )


def _task(*between: Any) -> lrsearch.Task:
    def model() -> nn.Module:
        layers = (layer(HIDDEN) if layer is nn.BatchNorm1d else layer() for layer in between)
        return nn.Sequential(nn.Linear(INPUTS, HIDDEN), *layers, nn.Linear(HIDDEN, CLASSES))

    return opened(
        lrsearch.Task(
            model=model,
            train=make_tensors(SAMPLES, seed=0),
            validation=make_tensors(VALIDATION_SAMPLES, seed=1),
            loss=loss,
            batch_size=BATCH,
        )
    )


def plain() -> lrsearch.Task:
    return _task(nn.Tanh)


def noisy() -> lrsearch.Task:
    """With buffers, and with random numbers in training."""
    return _task(nn.BatchNorm1d, nn.ReLU, nn.Dropout)


def digits() -> lrsearch.Task:
    """The quickstart's, whose file lies beside this one when a study runs."""
    import digits as quickstart

    return opened(quickstart.task())
