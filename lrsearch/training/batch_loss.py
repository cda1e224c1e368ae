"""The loss of a model on a batch, wherever a task has it from: `loss`, `step`, or the model."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import PyTree, tree_map

from lrsearch.task.task import Task

#: The key of a batch under which models with a loss of their own look for the targets.
LABELS = "labels"


def training_loss(
    task: Task, model: nn.Module, batch: PyTree, carried: PyTree = None
) -> tuple[Tensor, PyTree]:
    """The loss of a batch, a scalar, and the state for the next batch (None without `carry`)."""
    if task.loss is not None:
        inputs, targets = batch
        return task.loss(model(inputs), targets), None
    if task.step is None:
        return output_of(model, batch).loss, None
    if task.carry is None:
        return mean_of(task.step(model, batch)), None
    loss, carried = task.step(model, batch, carried)
    return mean_of(loss), detached(carried)


def mean_of(loss: Tensor | tuple[Tensor, Tensor | float]) -> Tensor:
    """A loss as it is, or the mean that a sum and a count give."""
    if isinstance(loss, tuple):
        total, count = loss
        return total / count
    return loss


def output_of(model: nn.Module, batch: PyTree) -> Any:
    """What a model that has its own loss gives for a batch, a mapping of its arguments."""
    return model(**batch)


def initial_state(task: Task, model: nn.Module) -> PyTree:
    """What is carried to the first batch of an epoch or of a validation."""
    return None if task.carry is None else detached(task.carry(model))


def detached(state: PyTree) -> PyTree:
    """The same numbers, through which no gradient flows."""
    return tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, state)


def scores(
    task: Task, model: nn.Module, batch: PyTree, carried: PyTree = None
) -> tuple[Mapping[str, Any], PyTree]:
    """`val_loss` and other values of a validation batch, and the state for the next batch.

    Of a task without outputs. Each value is a number, a mean over the batch, or (sum, count).
    """
    measure = task.score or task.step
    if measure is None:
        return {"val_loss": output_of(model, batch).loss}, None
    if task.carry is None:
        measured = measure(model, batch)
    else:
        measured, carried = measure(model, batch, carried)
    values = measured if task.score is not None else {"val_loss": measured}
    return values, detached(carried)


def forward_pass(task: Task, model: nn.Module, batch: PyTree) -> None:
    """Run the model as a training step does, for those who look at what it leaves behind."""
    if task.loss is not None:
        with torch.no_grad():
            model(batch[0])
    else:
        training_loss(task, model, batch, initial_state(task, model))
