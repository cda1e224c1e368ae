"""What a batch is made of: its tensors, how many samples it has, and its way to the device."""

import copy
from collections.abc import Callable, Hashable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import fields, is_dataclass

import torch
from torch.utils._pytree import PyTree, tree_leaves, tree_map

from lrsearch.errors import TaskError
from lrsearch.training.number_types import check_type

#: What the data give for a batch: inputs and targets, or anything that the task's `step` takes.
Batch = PyTree


def leaves_of(batch: Batch) -> Sequence[PyTree]:
    """As `tree_leaves`; a pair of tensors, the usual batch, is not searched, which takes 10 us."""
    return batch if _is_tensors(batch) else tree_leaves(batch)


def kinds_of(batch: Batch) -> list[Hashable]:
    """Types and shapes in a batch."""
    return [(x.dtype, x.shape) if isinstance(x, torch.Tensor) else x for x in leaves_of(batch)]


def map_tensors(function: Callable[[torch.Tensor], torch.Tensor], batch: Batch) -> Batch:
    """The same batch of what the function gives for each tensor; other leaves stay."""
    if _is_tensors(batch):
        return tuple(map(function, batch))
    return tree_map(lambda x: function(x) if isinstance(x, torch.Tensor) else x, batch)


def _is_tensors(batch: Batch) -> bool:
    return type(batch) is tuple and all(type(value) is torch.Tensor for value in batch)


def to_device(value: PyTree, device: torch.device) -> PyTree:
    """A batch with all its tensors on the device.

    Whatever has `.to` moves itself; tuples, lists, mappings and dataclasses are gone through, and
    all else (text, numbers, None) stays as it is. Raises TaskError for a type of numbers that the
    device does not have.
    """
    if isinstance(value, torch.Tensor):
        check_type(value, device, "a tensor of a batch")
        return value.to(device, non_blocking=True)
    if callable(getattr(value, "to", None)) and not isinstance(value, type):
        moved = value.to(device)
        return value if moved is None else moved  # some move in place
    if isinstance(value, tuple | list):
        items = [to_device(item, device) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if type(value) is dict:
        return {key: to_device(item, device) for key, item in value.items()}
    if isinstance(value, MutableMapping):
        mapping = copy.copy(value)
        mapping.update({key: to_device(item, device) for key, item in value.items()})
        return mapping
    if is_dataclass(value) and not isinstance(value, type):
        record = copy.copy(value)
        for field in fields(value):
            # Past a frozen dataclass's own __setattr__, which refuses.
            object.__setattr__(record, field.name, to_device(getattr(value, field.name), device))
        return record
    return value


def samples_of(batch: PyTree) -> int:
    """How many samples a batch, or its targets, have: the length of the first tensor in it.

    Raises TaskError where there is none.
    """
    for tensor in tensors_in(batch):
        if tensor.ndim:
            return tensor.shape[0]  # len(tensor) without the Python around it
    raise TaskError(
        f"no tensor is in {type(batch).__name__}, so how many samples it has is unknown"
    )


def told_size(batch: PyTree) -> int | None:
    """How many samples a batch of any kind has: the leading dimension that all its tensors share.

    None where they differ, or where there is no tensor.
    """
    lengths = {len(tensor) for tensor in tensors_in(batch) if tensor.ndim}
    return lengths.pop() if len(lengths) == 1 else None


def tensors_in(value: PyTree) -> Iterator[torch.Tensor]:
    """The tensors of a batch, in their order.

    Those inside tuples, lists, mappings, dataclasses, and attributes of objects that have `.to`.
    """
    if isinstance(value, torch.Tensor):
        yield value
        return
    inside: list[PyTree] = []
    if isinstance(value, tuple | list):
        inside = list(value)
    elif isinstance(value, Mapping):
        inside = list(value.values())
    elif is_dataclass(value) and not isinstance(value, type):
        inside = [getattr(value, field.name) for field in fields(value)]
    elif callable(getattr(value, "to", None)) and hasattr(value, "__dict__"):
        inside = list(vars(value).values())
    for item in inside:
        yield from tensors_in(item)
