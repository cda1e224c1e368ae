"""What a task measures of a validation batch: whether it can be taken."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import PyTree

from lrsearch.errors import LrsearchError, SpecError, TaskError, describe, near_miss
from lrsearch.spec.parts import CALIBRATED
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import Task
from lrsearch.training.batch_loss import initial_state
from lrsearch.training.calibrated_loss import check_cross_entropy
from lrsearch.training.first_step.words import words
from lrsearch.training.pooling.batch_values import batch_values, size_of, weighing
from lrsearch.training.pooling.means import LOSS
from lrsearch.training.pooling.whole_set import whole_set_metric

T = TypeVar("T")


def check_values(task: Task, spec: StudySpec, model: nn.Module, batch: PyTree) -> list[str]:
    """Notes on how the values of a validation batch are weighed.

    Raises TaskError for a value that is none, SpecError where the objective is not among them.
    """
    if task.loss is not None:
        _check_metrics(task, spec, model, batch)
        return []
    what = "step" if task.score is None else "score"
    what = "the model" if task.score is None and task.step is None else what
    size = size_of(task, batch)
    state = initial_state(task, model)
    measured = attempt(lambda: batch_values(task, model, batch, size, state), what)
    if what != "the model":
        _check_names(measured.values, spec, what)
        for name, value in measured.values.items():
            known = measured.noted[name] is not None
            _check_value(f"{name} of {what}", value, batch, known or size.samples is not None)
    return weighing(task, batch, measured)


def _check_metrics(task: Task, spec: StudySpec, model: nn.Module, batch: PyTree) -> None:
    inputs, targets = batch
    output = attempt(lambda: model(inputs), "the model on validation data")
    for name, metric in task.metrics.items():
        if whole_set_metric(metric) is not None:
            continue  # a batch may be too few for it; all of the set is looked at later
        score = attempt(lambda: metric(output, targets), f"metric {name}")  # noqa: B023
        if not isinstance(score, int | float):
            check_scalar(score, f"metric {name}")
    assert task.loss is not None
    loss = task.loss
    attempt(lambda: loss(output, targets), "the loss on validation data")
    if spec.objective.metric == CALIBRATED:
        attempt(lambda: check_cross_entropy(loss, output, targets), "the loss on validation data")


def _check_names(values: Mapping[str, Any], spec: StudySpec, what: str) -> None:
    if not isinstance(values, Mapping):
        raise TaskError(
            f'{what} gave {words(values)}, but a mapping is needed; write {{"{LOSS}": (sum, '
            f"count), ...}}"
        )
    if LOSS not in values:
        raise TaskError(
            f"{what} gave {', '.join(map(str, values)) or 'nothing'}, but {LOSS!r} has to be "
            f"among them: the mean loss, or (sum, count)"
        )
    metric = spec.objective.metric
    if metric not in values and metric != CALIBRATED:
        raise SpecError(
            f"objective.metric = {metric!r} is not among the values of {what}"
            f"{near_miss(metric, values)}"
        )


def _check_value(place: str, value: Any, batch: PyTree, is_weighed: bool) -> None:
    if isinstance(value, tuple):
        if len(value) != 2 or not all(map(_is_number, value)):
            raise TaskError(f"{place} is {words(value)}, but (sum, count) or a number is accepted")
        return
    if not _is_number(value):
        raise TaskError(
            f"{place} is {words(value)}, but (sum, count) or one number is accepted; take its mean"
        )
    if not is_weighed:
        raise TaskError(
            f"{place} is a number, but how many samples a batch {words(batch)} has cannot be told; "
            f"return (sum, count)"
        )


def _is_number(value: PyTree) -> bool:
    return value.ndim == 0 if isinstance(value, Tensor) else isinstance(value, int | float)


def check_scalar(value: PyTree, what: str) -> None:
    """Raises TaskError unless it is a tensor of one number."""
    if not isinstance(value, torch.Tensor):
        raise TaskError(
            f"{what} gave {type(value).__name__}, but a scalar tensor is needed; "
            f"return what torch computes, without .item()"
        )
    if value.numel() != 1 or value.dim() != 0:
        raise TaskError(
            f"{what} gave a tensor of shape {tuple(value.shape)}, but a scalar is needed; "
            f"take its mean"
        )


def attempt(call: Callable[[], T], what: str, remedy: Callable[[], str | None] | None = None) -> T:
    """What a call of the user's code gives.

    Raises TaskError that says what raised, and after it what `remedy` finds.
    """
    try:
        return call()
    except LrsearchError:
        raise
    except Exception as error:
        advice = None if remedy is None else remedy()
        raise TaskError(
            f"{what} raised {describe(error)}" + ("" if advice is None else f"; {advice}")
        ) from error
