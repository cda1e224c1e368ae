"""A first look at whether a task can train, before a study is made."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch.utils._pytree import PyTree

from lrsearch.errors import LrsearchError, TaskError, describe
from lrsearch.spec.parts import CALIBRATED
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import Task
from lrsearch.training.batch_loss import initial_state, scores, training_loss
from lrsearch.training.calibrated_loss import check_cross_entropy
from lrsearch.training.data import check_repeats, make_splits, make_test
from lrsearch.training.model import make_model
from lrsearch.training.precision import autocast
from lrsearch.training.start import steps_per_epoch

T = TypeVar("T")


def try_task(task: Task, spec: StudySpec, device: torch.device) -> int:
    """One batch forward and backward, and every metric; returns the optimizer steps of an epoch.

    The test set is made, and no sample of it looked at. All else is computed in the study's
    precision. Raises TaskError in one line for what would make every trial fail.
    """
    _check_fields(task)
    if task.test is not None:
        make_test(task, task.batch_size, torch.device("cpu"))
    train, validation = make_splits(task, task.batch_size, device, spec.accumulate)
    check_repeats(train, validation)
    model = make_model(task, device)
    steps = steps_per_epoch(train, spec.accumulate)
    batch = next(iter(train.train(0, 0, 0)))
    with autocast(spec.precision, device):
        loss = _training_loss(task, model, batch)
    _check_scalar(loss, "the loss")
    if not loss.requires_grad:
        raise TaskError("the loss does not depend on the model's weights; is it detached?")
    _run(loss.backward, "the backward pass")
    model.eval()
    batch = next(iter(validation.validation()))
    with torch.no_grad(), autocast(spec.precision, device):
        _check_values(task, spec, model, batch)
    return steps


def _training_loss(task: Task, model: torch.nn.Module, batch: PyTree) -> torch.Tensor:
    """The loss of a batch. Raises TaskError that says which part of the task failed."""
    if task.loss is None:
        what = "the task's model" if task.step is None else "step"
        return _run(lambda: training_loss(task, model, batch, initial_state(task, model))[0], what)
    inputs, targets = batch
    output = _run(lambda: model(inputs), "the model")
    return _run(lambda: task.loss(output, targets), "the loss")  # type: ignore[misc]


def _check_values(task: Task, spec: StudySpec, model: torch.nn.Module, batch: PyTree) -> None:
    """What is measured of a validation batch. Raises TaskError."""
    if task.loss is None:
        what = "step" if task.score is None else "score"
        _run(lambda: scores(task, model, batch, initial_state(task, model)), what)
        return
    inputs, targets = batch
    output = _run(lambda: model(inputs), "the model on validation data")
    for name, metric in task.metrics.items():
        score = _run(lambda: metric(output, targets), f"metric {name}")  # noqa: B023
        if not isinstance(score, int | float):
            _check_scalar(score, f"metric {name}")
    if spec.objective.metric == CALIBRATED:
        loss = task.loss
        _run(lambda: check_cross_entropy(loss, output, targets), "the loss on validation data")


def _check_fields(task: Task) -> None:
    if isinstance(task.model, torch.nn.Module):
        raise TaskError(
            f"model is {type(task.model).__name__}, but a function that returns a new one is needed"
        )
    if not isinstance(task.metrics, Mapping):
        raise TaskError(
            f"metrics is {type(task.metrics).__name__}, but a mapping of names to functions is "
            f"needed"
        )
    if CALIBRATED in task.metrics:
        raise TaskError(
            f"metrics has {CALIBRATED!r}, which lrsearch computes itself; give yours another name"
        )
    functions: dict[str, Callable[..., object]] = {
        f"metric {name}": metric for name, metric in task.metrics.items()
    }
    own = {"loss": task.loss, "step": task.step, "score": task.score, "carry": task.carry}
    functions |= {name: value for name, value in own.items() if value is not None}
    for name, value in {"model": task.model, **functions}.items():
        if not callable(value):
            raise TaskError(f"{name} is {type(value).__name__}, but a function is needed")
    if not isinstance(task.batch_size, int) or task.batch_size < 1:
        raise TaskError(f"batch_size = {task.batch_size!r}, but a whole number from 1 is needed")


def _run(call: Callable[[], T], what: str) -> T:
    try:
        return call()
    except LrsearchError:
        raise
    except Exception as error:
        raise TaskError(f"{what} raised {describe(error)}") from error


def _check_scalar(value: PyTree, what: str) -> None:
    if not isinstance(value, torch.Tensor):
        raise TaskError(f"{what} gave {type(value).__name__}, but a scalar tensor is needed")
    if value.numel() != 1 or value.dim() != 0:
        raise TaskError(
            f"{what} gave a tensor of shape {tuple(value.shape)}, but a scalar is needed; "
            f"take its mean"
        )
