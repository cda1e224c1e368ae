"""What a data set is: its samples, shapes, and a hash of its tensors."""

import hashlib
from collections.abc import Iterator
from operator import length_hint

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.data import TensorDataset

from lrsearch.task.task import Data, Task
from lrsearch.task.worker_facts import DataFacts

#: So many bytes of a set are hashed at most; 0.05 to 0.2 s.
MOST_HASHED = 64 * 2**20


def data_facts(task: Task, most: int = MOST_HASHED) -> tuple[DataFacts, ...]:
    """Of each set that the task has; nothing is loaded, and no sample is asked for."""
    sets = {"training": task.train, "validation": task.validation, "test": task.test}
    return tuple(_facts(name, data, most) for name, data in sets.items() if data is not None)


def _facts(name: str, data: Data, most: int) -> DataFacts:
    tensors = _tensors(data)
    if not tensors:
        kind = "a function" if callable(data) else type(data).__name__
        samples = length_hint(data)  # 0 of what has no length
        count = f"{samples} samples of " if samples else ""
        return DataFacts(name=name, shape=f"{count}{kind}")
    shapes = (f"{str(t.dtype).removeprefix('torch.')} {_by(t.shape)}" for t in tensors)
    digest, hashed = hashlib.sha256(), 0
    for part in _parts(tensors, most):
        digest.update(part)
        hashed += len(part)
    return DataFacts(
        name=name,
        shape=f"{len(tensors[0])} samples: {', '.join(shapes)}",
        sha256=digest.hexdigest(),
        size=sum(t.nbytes for t in tensors),
        hashed=hashed,
    )


def _tensors(data: Data) -> list[Tensor]:
    """Its tensors in their order where it is tensors and nothing else; else none."""
    leaves = list(data.tensors) if isinstance(data, TensorDataset) else []
    if isinstance(data, Tensor | tuple | list | dict):
        leaves = tree_leaves(data)
    plain = [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.layout == torch.strided]
    return plain if len(plain) == len(leaves) and all(leaf.dim() for leaf in plain) else []


def _parts(tensors: list[Tensor], most: int) -> Iterator[bytes]:
    """The first `most` bytes of the tensors, one after the other, as they lie row by row."""
    left = most
    for tensor in tensors:
        row = tensor[:1].nbytes
        rows = min(len(tensor), left // row + 1) if row else 0
        if not rows or left <= 0:
            continue
        first = tensor[:rows].detach().cpu().contiguous().reshape(-1).view(torch.uint8)[:left]
        left -= len(first)
        yield first.numpy().tobytes()


def _by(shape: torch.Size) -> str:
    """`96 x 4`"""
    return " x ".join(map(str, shape))
