"""Whether data give the same batches each time they are read from the same seed."""

from itertools import islice

import torch
from torch.utils._pytree import PyTree, tree_leaves

from lrsearch.errors import LrsearchError, TaskError, describe
from lrsearch.training.data.batches import Batch, tensors_in
from lrsearch.training.data.protocol import Data
from lrsearch.training.data.streams import StatedEpochs
from lrsearch.training.data.tensors import TensorData

#: So many batches of a pass are compared.
COMPARED = 2


def check_repeats(train: Data, validation: Data) -> None:
    """Read the first batches of each twice, in fresh passes.

    Raises TaskError if they differ: trials would not be compared on equal terms. Raises it too for
    what the data raise.
    """
    for which, data in (("train", train), ("validation", validation)):
        if isinstance(data.data if isinstance(data, StatedEpochs) else data, TensorData):
            continue
        first, again = (_first_batches(data, which) for _ in range(2))
        for number, (one, other) in enumerate(zip(first, again, strict=True), start=1):
            if not same_batch(one, other):
                raise TaskError(
                    f"{which} gives another batch {number} when it is read again with the same "
                    f"seed, so trials would see different data; draw from random, numpy.random, "
                    f"torch, or a generator kept in an attribute of the dataset, all of which "
                    f"lrsearch seeds, and not from one made for each sample"
                )


def _first_batches(data: Data, which: str) -> list[Batch]:
    batches = data.train(0, 0, 0) if which == "train" else data.validation()
    try:
        return list(islice(batches, COMPARED))
    except LrsearchError:
        raise
    except Exception as error:
        raise TaskError(f"{which} raised {describe(error)}") from error


def same_batch(one: Batch, other: Batch) -> bool:
    """Whether the tensors of two batches have the same bits, and other leaves are equal."""
    mine, theirs = list(tensors_in(one)), list(tensors_in(other))
    if len(mine) != len(theirs) or not all(map(_same, mine, theirs)):
        return False
    plain, others = _plain(one), _plain(other)
    return plain == others


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.is_floating_point() or one.is_complex():
        return torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
    return torch.equal(one, other)


def _plain(batch: PyTree) -> list[str | int | float | bool]:
    return [leaf for leaf in tree_leaves(batch) if isinstance(leaf, str | int | float | bool)]
