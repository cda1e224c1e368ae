"""Evaluation: loss and metrics over every sample, of one trial or of several at once."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import nn
from torch.utils._pytree import PyTree

from lrsearch.errors import TaskError
from lrsearch.task.task import Task
from lrsearch.training.batch_loss import initial_state, scores
from lrsearch.training.calibrated_loss import CalibratedLoss, Score
from lrsearch.training.data import Data, samples_of, told_size
from lrsearch.training.randomness import validation_numbers

T = TypeVar("T")


@dataclass(frozen=True)
class Evaluation:
    """Means over the samples; the calibrated loss over all of them, where it is a metric."""

    loss: float
    metrics: dict[str, float]


class Models(Protocol):
    """One or several models that are evaluated together, in evaluation mode."""

    def outputs(self, inputs: PyTree) -> Sequence[PyTree]:
        """What each gives for the same inputs."""
        ...

    def each(self, call: Callable[[nn.Module], T]) -> list[T]:
        """What a call gives for each of them, one after the other."""
        ...


@torch.no_grad()
def evaluate(
    task: Task,
    data: Data,
    models: Models,
    *,
    autocast: Callable[[], AbstractContextManager[None]],
    beat: Callable[[], None],
    device: torch.device,
) -> list[Evaluation]:
    """Loss and metrics over all samples, of each of the models.

    Random numbers that they draw are the same in every validation, and training goes on as if none
    had been drawn.
    """
    with validation_numbers(device):
        measure = _of_outputs if task.loss is not None else _of_models
        values = measure(task, data, models, autocast, beat)
    return [Evaluation(loss=each.pop(LOSS), metrics=each) for each in values]


#: What a validation's loss is called among its values.
LOSS = "val_loss"
Autocast = Callable[[], AbstractContextManager[None]]


def _of_outputs(
    task: Task, data: Data, models: Models, autocast: Autocast, beat: Callable[[], None]
) -> list[dict[str, float]]:
    """Values that are functions of outputs and targets."""
    assert task.loss is not None
    functions = {LOSS: task.loss, **task.metrics}
    totals: list[dict[str, _Total]] = []
    for inputs, targets in data.validation():
        size = samples_of(targets)
        with autocast():
            of_each = models.outputs(inputs)
            totals = totals or [
                {name: _total(score) for name, score in functions.items()} for _ in of_each
            ]
            for total, output in zip(totals, of_each, strict=True):
                for one in total.values():
                    one.add(output, targets, size)
        beat()
    return [{name: total.value() for name, total in each.items()} for each in totals]


def _of_models(
    task: Task, data: Data, models: Models, autocast: Autocast, beat: Callable[[], None]
) -> list[dict[str, float]]:
    """Values that are functions of a model and a batch."""
    states = models.each(lambda model: initial_state(task, model))
    totals: list[dict[str, _Pairs]] = [{} for _ in states]
    for batch in data.validation():
        size = told_size(batch)
        waiting = iter(states)
        with autocast():
            of_each = models.each(lambda model: scores(task, model, batch, next(waiting)))  # noqa: B023
        states = [state for _, state in of_each]
        for total, (values, _) in zip(totals, of_each, strict=True):
            for name, value in values.items():
                total.setdefault(name, _Pairs()).add(value, size, name)
        beat()
    return [{name: total.value() for name, total in each.items()} for each in totals]


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


class _Pairs:
    """The mean of what comes as sums and counts, or as means over batches."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0.0

    def add(self, value: Any, size: int | None, name: str) -> None:
        """Raises TaskError for a number where the size of the batch cannot be told."""
        if isinstance(value, tuple):
            total, count = map(float, value)
        elif size is None:
            raise TaskError(
                f"{name} is a number, but how many samples a batch has cannot be told from it; "
                f"return (sum, count)"
            )
        else:
            total, count = float(value) * size, size
        if count:  # a batch without a valid label counts for nothing
            self.total, self.count = self.total + total, self.count + count

    def value(self) -> float:
        return self.total / self.count if self.count else float("nan")
