"""Tensors in memory: kept on the device and indexed."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch.utils._pytree import PyTree, tree_flatten, tree_unflatten

from lrsearch.errors import TaskError
from lrsearch.training.data.batches import Batch
from lrsearch.training.data.order import epoch_order
from lrsearch.training.number_types import check_type

#: Validation keeps no activations for a backward pass, so it takes larger batches.
VALIDATION_FACTOR = 8


class TensorData:
    """Tensors of equal length, wholly on the device: `(inputs, targets)`, a mapping, any tree."""

    def __init__(self, tensors: PyTree, batch_size: int, device: torch.device) -> None:
        """Raises TaskError for a type of numbers that the device does not have."""
        leaves, spec = tree_flatten(tensors)
        for number, leaf in enumerate(leaves, 1):
            check_type(leaf, device, f"tensor {number} of the data")
        self.leaves = [leaf.to(device) for leaf in leaves]
        self.batch_size, self.length, self.device = batch_size, len(leaves[0]), device
        self.batches = self.length // batch_size
        self.batch_bytes = sum(leaf[:batch_size].nbytes for leaf in self.leaves)
        #: Parts of it that were taken, by their size: all trials of a study look at one.
        self.parts: dict[int, TensorData] = {}
        self._absent: dict[tuple[int, float], bool] = {}
        self._picks = [_picker(leaf) for leaf in self.leaves]
        is_row = isinstance(tensors, tuple | list) and len(tensors) == len(leaves)
        self._joined: Callable[[Sequence[torch.Tensor]], Batch] = (
            tuple if is_row else partial(tree_unflatten, treespec=spec)
        )

    def absent(self, leaf: int, value: float) -> bool:
        """Whether no sample has this value in this tensor, counted as `tree_leaves` gives them."""
        if (leaf, value) not in self._absent:
            self._absent[leaf, value] = not bool((self.leaves[leaf] == value).any())
        return self._absent[leaf, value]

    def train(self, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        order = epoch_order(self.length, seed, epoch).to(self.device)
        for step in range(skip, self.batches):
            yield self.pick(order[step * self.batch_size : (step + 1) * self.batch_size])

    def pick(self, index: torch.Tensor) -> Batch:
        """The samples that a vector on the device names."""
        return self._joined([pick(index) for pick in self._picks])

    def validation(self) -> Iterator[Batch]:
        size = self.batch_size * VALIDATION_FACTOR
        for start in range(0, self.length, size):
            yield self._joined([leaf[start : start + size] for leaf in self.leaves])


def _picker(values: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """`index -> values[index]`, in half the time where the tensor has the default layout."""
    # index_select would turn another layout, such as channels_last, into the default one.
    if values.stride() == torch.empty(values.shape, device="meta").stride():
        return partial(values.index_select, 0)
    return values.__getitem__


def are_tensors(source: PyTree, *, pairs: bool) -> bool:
    """Whether a source is tensors: `(inputs, targets)` where a task needs pairs, else any tree."""
    leaves, _ = tree_flatten(source)
    if not leaves or not all(isinstance(leaf, torch.Tensor) and leaf.ndim for leaf in leaves):
        return False
    return not pairs or (isinstance(source, tuple | list) and len(source) == len(leaves) == 2)


def check_lengths(source: PyTree, which: str, *, pairs: bool) -> None:
    """Raises TaskError unless all tensors have one length."""
    lengths = [len(leaf) for leaf in tree_flatten(source)[0]]
    if len(set(lengths)) == 1:
        return
    if pairs:
        raise TaskError(f"{which} has {lengths[0]} inputs, but {lengths[1]} targets")
    raise TaskError(
        f"{which} has tensors of lengths {', '.join(map(str, lengths))}, but each needs one entry "
        f"a sample; make them equally long, or give a Dataset"
    )


def first_samples(source: PyTree, count: int) -> PyTree:
    """The same tree with the first samples only; views, no copies."""
    leaves, spec = tree_flatten(source)
    return tree_unflatten([leaf[:count] for leaf in leaves], spec)
