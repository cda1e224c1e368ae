"""Whether the task's `model` makes a new model at each call."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lrsearch.errors import TaskError, describe
from lrsearch.task.task import Task

COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)
REMEDY = (
    "trials that share weights train each other's; make every layer inside the function, or copy "
    "what was made outside: copy.deepcopy(BODY)"
)


@dataclass(frozen=True, kw_only=True)
class SharedBuffer:
    """A buffer that two models have in common, and how often it had been written to."""

    name: str
    buffer: Tensor
    version: int


def check_new(task: Task, model: nn.Module) -> list[SharedBuffer]:
    """Compare a model with what the task's `model` gives at another call.

    Two tensors are shared where their memory is, be it in part. Raises TaskError for a shared
    parameter, trained or frozen. Shared buffers are returned: they are harmless if training only
    reads them, as the adjacency matrix of a graph; `check_only_read` tells after a step.
    """
    try:
        other = task.model()
    except Exception as error:
        raise TaskError(
            f"the task's model() raised {describe(error)} when it was called a second time"
        ) from error
    if other is model:
        raise TaskError(f"model() returns the same {type(model).__name__} at each call; {REMEDY}")
    taken = {place for _, value in _tensors(other) for place in _memory(value)}
    for name, parameter in model.named_parameters():
        if taken & set(_memory(parameter)):
            raise TaskError(f"model() gives models that share the weights {name}; {REMEDY}")
    return [
        SharedBuffer(name=name, buffer=buffer, version=buffer._version)
        for name, buffer in model.named_buffers()
        if taken & set(_memory(buffer))
    ]


def check_only_read(shared: list[SharedBuffer]) -> None:
    """Raises TaskError if a shared buffer was written to since."""
    for each in shared:
        if each.buffer._version != each.version:
            raise TaskError(
                f"model() gives models that share the buffer {each.name}, and training writes to "
                f"it; {REMEDY}"
            )


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _memory(tensor: Tensor) -> Iterator[int]:
    """The addresses of the storages in which a tensor has its numbers."""
    if tensor.is_meta:
        return
    if tensor.layout == torch.sparse_coo:
        yield from _memory(tensor._indices())
        yield from _memory(tensor._values())
    elif tensor.layout in COMPRESSED:
        yield from _memory(tensor.values())
    elif address := tensor.untyped_storage().data_ptr():
        yield address
