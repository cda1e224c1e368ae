"""Validation: loss and metrics over every sample, of one trial or of several at once."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from lrsearch.task import Task
from lrsearch.training.data import Data


@dataclass(frozen=True, kw_only=True)
class Validation:
    """One row of a trial's curve."""

    #: 1-based.
    validation: int
    step: int
    epoch: float
    #: Learning rate of the last step.
    lr: float
    #: Mean over the steps since the last validation.
    train_loss: float
    val_loss: float
    #: Of the averaged weights, where they were validated.
    val_loss_ema: float | None
    #: Of the deployed weights.
    metrics: dict[str, float]
    #: Of the averaged weights, where they were validated.
    metrics_ema: dict[str, float] | None
    #: Total L2 norm of the last step's gradient, before clipping.
    grad_norm: float
    #: Training and validation time of the trial so far.
    seconds: float


@dataclass(frozen=True)
class Scores:
    """Means over the validation samples."""

    loss: float
    metrics: dict[str, float]


@torch.no_grad()
def evaluate(
    task: Task,
    data: Data,
    outputs: Callable[[Any], Sequence[Any]],
    *,
    autocast: Callable[[], AbstractContextManager[Any]],
    beat: Callable[[], None],
) -> list[Scores]:
    """Loss and metrics, averaged by sample count, of each model in what `outputs(inputs)` gives."""
    scores = {"": task.loss, **task.metrics}
    totals: list[dict[str, float]] = []
    samples = 0
    for (inputs, targets), size in data.validation():
        with autocast():
            of_each = outputs(inputs)
            totals = totals or [dict.fromkeys(scores, 0.0) for _ in of_each]
            for total, output in zip(totals, of_each, strict=True):
                for name, score in scores.items():
                    total[name] += float(score(output, targets)) * size
        samples += size
        beat()
    means = [{name: total / samples for name, total in each.items()} for each in totals]
    return [Scores(loss=each.pop(""), metrics=each) for each in means]
