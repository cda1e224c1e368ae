"""A task's data: whether they have the form that is needed, and what is in the first batches."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import torch
from torch import Tensor
from torch.utils._pytree import PyTree, tree_leaves
from torch.utils.data import DataLoader, TensorDataset

from lrsearch.errors import TaskError, describe
from lrsearch.task.task import Task
from lrsearch.training.batch_loss import LABELS
from lrsearch.training.data import Data
from lrsearch.training.first_step.words import kind, leaves, words

#: Batches of a split that are looked at.
LOOKED_AT = 3
#: Numbers of a tensor that are looked at: a tenth of a second.
MOST_NUMBERS = 2**26
SPLITS = ("train", "validation", "test")
SHAPES = "(inputs, targets) tensors, a Dataset or a function that returns a DataLoader"


def check_sources(task: Task) -> None:
    """Raises TaskError for data that are near what is accepted, and says what to write."""
    for which in SPLITS:
        source = getattr(task, which)
        if isinstance(source, DataLoader):
            raise TaskError(
                f"{which} is a DataLoader, but a function that returns it is needed; write "
                f"{which}=lambda: loader"
            )
        if isinstance(source, tuple | list | Mapping) and any(map(_is_array, tree_leaves(source))):
            raise TaskError(
                f"{which} has arrays, {words(source)}, but tensors are needed; write "
                f"torch.from_numpy(array){_floats(source)} for each"
            )
        if isinstance(source, type):
            raise TaskError(
                f"{which} is the class {source.__name__}, but {SHAPES} is accepted; write "
                f"{source.__name__}(...)"
            )


def _is_array(value: PyTree) -> bool:
    return hasattr(value, "__array__") and not isinstance(value, Tensor)


def _floats(source: PyTree) -> str:
    arrays = [leaf for leaf in tree_leaves(source) if _is_array(leaf)]
    wide = any(str(getattr(array, "dtype", "")) == "float64" for array in arrays)
    return ", with .float() where it is float64," if wide else ""


def first_batches(data: Data, which: str) -> list[PyTree]:
    """The first batches of a split, as training or validation takes them.

    Raises TaskError if the user's code fails, or gives none.
    """
    source = data.train(0, 0, 0) if which == "train" else data.validation()
    try:
        batches = list(islice(source, LOOKED_AT))
    except TaskError:
        raise
    except Exception as error:
        raise TaskError(f"{which} raised {describe(error)}{_collated(error)}") from error
    if not batches:
        raise TaskError(f"{which} gave no batch; it needs at least one")
    return batches


def _collated(error: Exception) -> str:
    """What to do where torch's own collation has met what it cannot stack."""
    text = str(error)
    if isinstance(error, TypeError) and "NoneType" in text:
        return "; a sample has None in it: leave that out of what __getitem__ returns"
    if isinstance(error, RuntimeError) and "stack expects each tensor to be equal size" in text:
        return "; samples differ in size: pad them, or return a DataLoader with a collate_fn"
    return ""


def check_batch(task: Task, batch: PyTree, which: str) -> None:
    """Raises TaskError unless the batch is one that the task's loss takes."""
    if task.step is not None:
        return
    if task.loss is None:
        _check_labelled(batch, which)
        return
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise TaskError(
            f"a batch of {which} is {kind(batch)}, {words(batch)}, but loss takes the outputs and "
            f"targets of (inputs, targets); write step=lambda model, batch: ... in place of loss"
        )
    for name, value in zip(("inputs", "targets"), batch, strict=True):
        parts = [leaf for _, leaf in leaves(value, name)]
        if all(part is None for part in parts):
            raise TaskError(
                f"the {name} of {which} are None, but a tensor is needed; without targets write "
                f"step=lambda model, batch: ... in place of loss"
            )
        if all(isinstance(part, str) for part in parts):
            meant = "a class number" if name == "targets" else "tokens, as numbers"
            raise TaskError(
                f"the {name} of {which} are text, {words(value)}, but a tensor is needed; let the "
                f"data give {meant} for each"
            )


def _check_labelled(batch: PyTree, which: str) -> None:
    if isinstance(batch, Mapping) and LABELS in batch:
        return
    raise TaskError(
        f"the Task has neither loss nor step, and a batch of {which} is {kind(batch)}, "
        f"{words(batch)}; give loss=cross_entropy or the like, or step=lambda model, batch: ...; "
        f"a model that returns .loss takes batches that are mappings with {LABELS!r}"
    )


def not_finite(batches: Sequence[PyTree], which: str) -> Iterator[tuple[int, str]]:
    """Number of each batch with NaN or infinity in it, and where."""
    for number, batch in enumerate(batches):
        for place, leaf in leaves(batch, f"{which}: batch {number}"):
            if (row := _bad_row(leaf)) is not None:
                yield number, f"{place} has NaN or infinity, first at sample {row}"
                break


def _bad_row(leaf: PyTree) -> int | None:
    """The first row of a tensor that is not finite."""
    if not isinstance(leaf, Tensor) or leaf.layout != torch.strided:
        return None
    if not leaf.is_floating_point() or not leaf.ndim or not leaf.numel():
        return None
    rows = leaf[: max(1, MOST_NUMBERS // max(1, leaf[0].numel()))]
    bad = ~rows.isfinite().flatten(1).all(1) if rows.ndim > 1 else ~rows.isfinite()
    return int(bad.nonzero()[0]) if bool(bad.any()) else None


def tensors_of(source: PyTree) -> list[Tensor]:
    """The tensors that a split is given as; none for other data."""
    if isinstance(source, TensorDataset):
        return list(source.tensors)
    if isinstance(source, tuple | list | Mapping):
        return [leaf for leaf in tree_leaves(source) if isinstance(leaf, Tensor)]
    return []


def batch_with_bad_row(task: Task, which: str) -> tuple[PyTree, str] | None:
    """Of tensors the batch from the first row on that is not finite, and where it is."""
    tensors = tensors_of(getattr(task, which))
    names = ("inputs", "targets") if len(tensors) == 2 else tuple(map(str, range(len(tensors))))
    for name, tensor in zip(names, tensors, strict=True):
        if (row := _bad_row(tensor)) is not None:
            batch = tuple(each[row : row + task.batch_size] for each in tensors)
            return batch, f"{which}: the {name} have NaN or infinity, first at sample {row}"
    return None


def overlap(task: Task) -> str | None:
    """A doubt about validation data that training sees as well, as far as tensors tell."""
    if task.validation is task.train:
        return _same("the same data")
    for mine in tensors_of(task.train):
        for theirs in tensors_of(task.validation):
            first, second = _extent(mine), _extent(theirs)
            if max(first[0], second[0]) < min(first[1], second[1]):
                return _same("samples in common")
    return None


def _same(what: str) -> str:
    return (
        f"train and validation have {what}, so a validation loss tells nothing of new data; split "
        f"them: x[:n] and x[n:]"
    )


def _extent(tensor: Tensor) -> tuple[int, int]:
    """The addresses between which a tensor's numbers lie; none where others lie between them."""
    if tensor.layout != torch.strided or not tensor.numel() or not tensor.is_contiguous():
        return 0, 0
    return tensor.data_ptr(), tensor.data_ptr() + tensor.numel() * tensor.element_size()
