"""Task: model, data and loss of a study; and how a worker finds the code that defines it.

The database holds a task's reference and the SHA-256 of its code, never the code itself.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrsearch.errors import TaskError, describe
from lrsearch.plain_data import Document, Fields

if TYPE_CHECKING:
    import torch

    #: A loss or a metric, which gives one number.
    Score = Callable[[Any, Any], torch.Tensor]

#: Two tensors, a Dataset, or a function that returns a DataLoader.
Data = Any


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained. `lrsearch` decides how."""

    #: Returns a new model with freshly drawn weights (from torch's global generator).
    model: "Callable[[], torch.nn.Module]"
    #: `(inputs, targets)` tensors, a map-style Dataset of `(input, target)`, or a function that
    #: returns a DataLoader.
    train: Data
    #: As `train`.
    validation: Data
    #: `(output, target) -> scalar tensor`, a mean over the batch.
    loss: "Score"
    #: Name to `(output, target) -> scalar`, averaged over validation by sample count.
    metrics: "Mapping[str, Score]" = field(default_factory=dict)
    #: Training batch; a DataLoader brings its own.
    batch_size: int = 64
    #: As `validation`; used once, for the confirmed recipe. None: there is none.
    test: Data = None


@dataclass(frozen=True, kw_only=True)
class LoadedTask:
    """A task as it was found: the attribute, where, and the hash of its code."""

    reference: str
    source: Path
    #: A Task, or a function that returns one for `params`.
    target: "Task | Callable[..., Task]"
    #: File, relative to its root, to SHA-256 of the task file and the local modules it imports.
    code: Mapping[str, str]

    def make(self, params: Fields | None = None) -> Task:
        """The Task for these params. Raises TaskError in one line, whatever the user's code did."""
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
        """What the task function takes for params that it is not given."""
        if isinstance(self.target, Task):
            return {}
        arguments = inspect.signature(self.target).parameters.values()
        return {a.name: a.default for a in arguments if a.default is not a.empty}
