"""Task: model, data and loss of a study."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrsearch.errors import TaskError, describe
from lrsearch.plain_data import Document, Fields
from lrsearch.task.batch_size import batch_size_of
from lrsearch.task.commit import commit_of

if TYPE_CHECKING:
    import torch
    from torch.utils._pytree import PyTree

    #: A loss or a metric of outputs and targets, which gives one number.
    Score = Callable[[Any, Any], torch.Tensor]
    #: A number, or a sum and the count of what it sums over.
    Measured = torch.Tensor | float | tuple[torch.Tensor | float, torch.Tensor | float]

#: Tensors of equal length, a Dataset, or a function that returns a DataLoader.
Data = Any


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained. `lrsearch` decides how.

    A batch is what the data give for it. Its loss comes from one of three places: `loss`, which
    takes the outputs and targets of batches `(inputs, targets)`; `step`, which takes the model and
    any batch; or the model itself, which returns an object with `.loss` for a batch that is a
    mapping with `labels`, as the models of Hugging Face's transformers do.
    """

    #: Returns a new model with freshly drawn weights (from torch's global generator).
    model: "Callable[[], torch.nn.Module]"
    #: `(inputs, targets)` tensors, a map-style Dataset of `(input, target)`, or a function that
    #: returns a DataLoader. With `step`, tensors, samples and batches may be anything.
    train: Data
    #: As `train`.
    validation: Data
    #: `(output, target) -> scalar tensor`, a mean over the batch.
    loss: "Score | None" = None
    #: Name to `(output, target) -> scalar`, averaged over validation by sample count.
    metrics: "Mapping[str, Score]" = field(default_factory=dict)
    #: Training batch; a DataLoader brings its own.
    batch_size: int = 64
    #: As `validation`; used once, for the confirmed recipe. None: there is none.
    test: Data = None
    #: `(model, batch) -> loss`, the loss of a training step: a scalar tensor, a mean over the
    #: batch, or `(sum, count)`. In place of `loss`.
    step: "Callable[..., Any] | None" = None
    #: `(model, batch) -> {"val_loss": ..., NAME: ...}`, the values of a validation batch: each
    #: `(sum, count)`, or a number, a mean over the batch. None: `val_loss` is `step`'s.
    score: "Callable[..., Any] | None" = None
    #: `(model) -> state`, what is carried from batch to batch, at the start of each epoch and of
    #: each validation. `step` and `score` then take `(model, batch, state)`, and return what they
    #: return beside the state for the next batch. No gradient flows from batch to batch.
    carry: "Callable[[torch.nn.Module], PyTree] | None" = None
    #: Parameter groups: rules, as a recipe's `groups`, or a function
    #: `(model) -> [{"params": [...], "lr_scale": ..., ...}, ...]`. None: one group.
    groups: Any = None
    #: Optimizer steps of an epoch, for data without a length. None: the data's own.
    steps_per_epoch: int | None = None
    #: Batches that a validation takes, for data without an end. None: all.
    validation_batches: int | None = None
    #: Patterns (as of `fnmatch`) of names of buffers that the weight average averages; others are
    #: copied. None: `running_mean` and `running_var`, as batch normalization has them.
    averaged_buffers: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class LoadedCode:
    """What a study trains as it was found: where, and the hash of its code."""

    reference: str
    source: Path
    #: File, relative to its root, to SHA-256 of it and of the local modules it imports.
    code: Mapping[str, str]

    @cached_property
    def commit(self) -> str | None:
        """The git commit that it is at; None if it is in no repository."""
        return commit_of(self.source.parent)

    def defaults(self) -> Document:
        """What it takes for params that it is not given."""
        return {}

    def batch_size(self, params: Fields) -> int | None:
        """Samples of a batch for these params, where the code says so. Raises TaskError."""
        return None


@dataclass(frozen=True, kw_only=True)
class LoadedTask(LoadedCode):
    """A task: the attribute that is one, or makes one."""

    #: A Task, or a function that returns one for `params`.
    target: "Task | Callable[..., Task]"
    #: What is done to each task that it makes, such as giving its models initial weights.
    prepare: "Callable[[Task], Task] | None" = None

    def make(self, params: Fields | None = None) -> Task:
        """The Task for these params. Raises TaskError in one line, whatever the user's code did."""
        task = self._make(params)
        return task if self.prepare is None else self.prepare(task)

    def _make(self, params: Fields | None) -> Task:
        if isinstance(self.target, Task):
            if params:
                raise TaskError(
                    f"{self.reference} is a Task, but the space has params "
                    f"({', '.join(sorted(params))}); make it a function that takes them"
                )
            return self.target
        try:
            task = self.target(**(params or {}))
        except (Exception, SystemExit) as error:
            raise TaskError(f"task {self.reference} raised {describe(error)}") from error
        if not isinstance(task, Task):
            raise TaskError(
                f"task {self.reference} returned {type(task).__name__}, but a Task is needed"
            )
        return task

    def defaults(self) -> Document:
        if isinstance(self.target, Task):
            return {}
        arguments = inspect.signature(self.target).parameters.values()
        return {a.name: a.default for a in arguments if a.default is not a.empty}

    def batch_size(self, params: Fields) -> int | None:
        return batch_size_of(self.make(params), params)
