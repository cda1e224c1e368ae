"""What is measured of a batch where a task has no loss of outputs and targets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.utils._pytree import PyTree

from lrsearch.task.task import Task
from lrsearch.training.batch_loss import LABELS, output_of, scores
from lrsearch.training.data import told_size
from lrsearch.training.pooling.means import LOSS, Mean, Size, valid_labels
from lrsearch.training.pooling.observed import Noted, Observed


@dataclass(frozen=True, kw_only=True)
class BatchValues:
    """Values of a batch by name, and what each is a mean over where that was seen."""

    values: Mapping[str, Any]
    noted: Mapping[str, Noted | None]
    #: What is carried to the next batch.
    state: PyTree
    #: Of a model that has its own loss: its logits, None where it gives none.
    logits: PyTree = None


def size_of(task: Task, batch: PyTree) -> Size:
    """How large a batch of any kind is."""
    if task.step is None and task.score is None:
        return valid_labels(batch[LABELS])
    return Size(samples=told_size(batch))


def batch_values(
    task: Task, model: nn.Module, batch: PyTree, size: Size, carried: PyTree
) -> BatchValues:
    """Raises what the task's code raises."""
    logits = None
    values: Mapping[str, Any]
    with Observed(size.samples) as seen:
        if task.step is None and task.score is None:
            output = output_of(model, batch)
            values, state = {LOSS: output.loss}, None
            logits = getattr(output, "logits", None)
        else:
            values, state = scores(task, model, batch, carried)
    noted = {name: seen.of(value) for name, value in values.items()}
    return BatchValues(values=values, noted=noted, state=state, logits=logits)


class Scored:
    """The values of a task's `score`, of its `step`, or the loss of its model, over a set."""

    def __init__(self) -> None:
        self._means: dict[str, Mean] = {}

    def add(self, batch: BatchValues, size: Size) -> None:
        """Raises TaskError for what is no number, or where its weight cannot be told."""
        for name, value in batch.values.items():
            mean = self._means.setdefault(name, Mean(name, is_loss=name == LOSS))
            mean.add(value, size, batch.noted[name])

    def values(self) -> dict[str, float]:
        return {name: mean.value() for name, mean in self._means.items()}


def weighing(task: Task, batch: PyTree, measured: BatchValues) -> list[str]:
    """A sentence for each value that is weighed by the size that a batch shows, for people."""
    size = size_of(task, batch)
    source = "step" if task.score is None else "score"
    return [
        f"{source}'s {name} is a number: weighed by {size.samples} samples, the leading dimension "
        f"of all tensors in the batch"
        for name, value in measured.values.items()
        if not isinstance(value, tuple) and measured.noted[name] is None
        if task.step is not None or task.score is not None
    ]
