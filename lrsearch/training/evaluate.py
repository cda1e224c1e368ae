"""Evaluation: loss and metrics over every sample, of one trial or of several at once."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.utils._pytree import PyTree

from lrsearch.task.task import Task
from lrsearch.training.calibrated_loss import CalibratedLoss, Score
from lrsearch.training.data import Data


@dataclass(frozen=True)
class Evaluation:
    """Means over the samples; the calibrated loss over all of them, where it is a metric."""

    loss: float
    metrics: dict[str, float]


@torch.no_grad()
def evaluate(
    task: Task,
    data: Data,
    outputs: Callable[[PyTree], Sequence[PyTree]],
    *,
    autocast: Callable[[], AbstractContextManager[None]],
    beat: Callable[[], None],
) -> list[Evaluation]:
    """Loss and metrics over all samples, of each model in what `outputs(inputs)` gives."""
    scores = {"": task.loss, **task.metrics}
    totals: list[dict[str, _Total]] = []
    for (inputs, targets), size in data.validation():
        with autocast():
            of_each = outputs(inputs)
            totals = totals or [
                {name: _total(score) for name, score in scores.items()} for _ in of_each
            ]
            for total, output in zip(totals, of_each, strict=True):
                for one in total.values():
                    one.add(output, targets, size)
        beat()
    values = [{name: total.value() for name, total in each.items()} for each in totals]
    return [Evaluation(loss=each.pop(""), metrics=each) for each in values]


class _Total(Protocol):
    """A score of the samples seen so far."""

    def add(self, output: PyTree, target: PyTree, size: int) -> None: ...
    def value(self) -> float: ...


class _Mean:
    """The mean of a score over batches, by their sizes."""

    def __init__(self, score: Score) -> None:
        self.score, self.total, self.samples = score, 0.0, 0

    def add(self, output: PyTree, target: PyTree, size: int) -> None:
        self.total += float(self.score(output, target)) * size
        self.samples += size

    def value(self) -> float:
        return self.total / self.samples


def _total(score: Score) -> _Total:
    return score.pool() if isinstance(score, CalibratedLoss) else _Mean(score)
