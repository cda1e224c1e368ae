"""Evaluation: loss and metrics over every sample, of one trial or of several at once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import nn
from torch.utils._pytree import PyTree

from lrsearch.task.task import Task
from lrsearch.training.batch_loss import LABELS, initial_state
from lrsearch.training.data import Data, samples_of
from lrsearch.training.pooling.batch_values import Scored, batch_values, size_of
from lrsearch.training.pooling.means import LOSS, pair_size, read_all
from lrsearch.training.pooling.totals import Totals
from lrsearch.training.randomness import validation_numbers

T = TypeVar("T")


@dataclass(frozen=True)
class Evaluation:
    """Loss and metrics over all samples."""

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
        values = list(measure(task, data, models, autocast, beat))
    return [Evaluation(loss=each.pop(LOSS), metrics=each) for each in values]


Autocast = Callable[[], AbstractContextManager[None]]


def _of_outputs(
    task: Task, data: Data, models: Models, autocast: Autocast, beat: Callable[[], None]
) -> Iterator[dict[str, float]]:
    """Values that are functions of outputs and targets."""
    totals: list[Totals] = []
    functions = {LOSS: task.loss, **task.metrics}
    for inputs, targets in data.validation():
        size = pair_size(targets, samples_of(targets))
        with autocast():
            of_each = models.outputs(inputs)
            totals = totals or [Totals(functions) for _ in of_each]
            for total, output in zip(totals, of_each, strict=True):
                total.add(output, targets, size)
        beat()
    read_all([mean for total in totals for mean in total.means])
    return (total.values() for total in totals)


def _of_models(
    task: Task, data: Data, models: Models, autocast: Autocast, beat: Callable[[], None]
) -> Iterator[dict[str, float]]:
    """Values that are functions of a model and a batch."""
    states = models.each(lambda model: initial_state(task, model))
    scored, totals = [Scored() for _ in states], [Totals(task.metrics) for _ in states]
    for batch in data.validation():
        size, waiting = size_of(task, batch), iter(states)
        with autocast():
            of_each = models.each(
                lambda model: batch_values(task, model, batch, size, next(waiting))  # noqa: B023
            )
            states = [measured.state for measured in of_each]
            for score, total, measured in zip(scored, totals, of_each, strict=True):
                score.add(measured, size)
                if task.metrics:
                    total.add(measured.logits, batch[LABELS], size)
        beat()
    return (s.values() | t.values() for s, t in zip(scored, totals, strict=True))
