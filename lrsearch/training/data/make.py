"""From what a task gives for its data to what training reads."""

from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from lrsearch.errors import TaskError, describe
from lrsearch.task.task import Task
from lrsearch.training.data.batches import Batch
from lrsearch.training.data.datasets import DatasetData, LoaderData, full_batches
from lrsearch.training.data.order import Loader
from lrsearch.training.data.protocol import Data
from lrsearch.training.data.streams import (
    Begin,
    OwnLoaderData,
    StatedEpochs,
    StreamData,
    StreamPasses,
    own_passes,
)
from lrsearch.training.data.tensors import TensorData, are_tensors, check_lengths, first_samples

#: One split of a task, as its author gives it.
Source = Any


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which split of a task is made, and what the task says of it."""

    which: str
    batch_size: int
    device: torch.device
    #: Whether batches are `(inputs, targets)`: the task has a `loss`.
    pairs: bool = True
    #: Training batches of an epoch; None: one pass over the data.
    stated: int | None = None
    #: Batches of a validation; None: all.
    most: int | None = None
    #: Samples of one of those, where lrsearch makes the batches.
    most_size: int = 1

    @property
    def is_trained(self) -> bool:
        return self.which == "train"

    @property
    def accepted(self) -> str:
        tensors = "(inputs, targets) tensors" if self.pairs else "tensors of equal length"
        return f"{tensors}, a Dataset or a function that returns a DataLoader"


def make_data(source: Source, batch_size: int, device: torch.device, which: str) -> Data:
    """The split `which` (train, validation or test) of a task of `(inputs, targets)`.

    Raises TaskError if it is unusable.
    """
    return _make(source, Split(which=which, batch_size=batch_size, device=device))


def make_test(task: Task, batch_size: int, device: torch.device) -> Data:
    """The test set on the device; no sample of it is looked at. Raises TaskError if unusable."""
    split = Split(which="test", batch_size=batch_size, device=device, pairs=task.loss is not None)
    if _is_stream(task.test):
        split = replace(split, most=task.validation_batches)
    return _make(task.test, split)


def make_splits(
    task: Task, batch_size: int, device: torch.device, accumulate: int = 1
) -> tuple[Data, Data]:
    """Training and validation data on the device; `accumulate` batches make an optimizer step.

    Raises TaskError when there is too little, or when a field of the task does not suit the data.
    """
    _check_counts(task)
    common = Split(which="train", batch_size=batch_size, device=device, pairs=task.loss is not None)
    steps = task.steps_per_epoch
    train = _make(task.train, replace(common, stated=steps and steps * accumulate))
    if task.carry is not None and _is_shuffled(train):
        raise TaskError(
            "the task has carry, which needs batches in their order, but lrsearch shuffles train; "
            "give a function that returns a DataLoader without shuffle=True"
        )
    most = replace(
        common, which="validation", most=task.validation_batches, most_size=task.batch_size
    )
    return train, _make(task.validation, most)


def end_workers(data: Data) -> None:
    """Let the data's DataLoader workers end; they come again when it is read."""
    inner = data.data if isinstance(data, StatedEpochs) else data
    if isinstance(inner, LoaderData):
        inner.reader.close()
    elif isinstance(inner, StreamData):
        inner.close()


def _check_counts(task: Task) -> None:
    counts = {
        "steps_per_epoch": task.steps_per_epoch,
        "validation_batches": task.validation_batches,
    }
    for name, value in counts.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise TaskError(f"{name} = {value!r}, but a whole number from 1 is needed")


def _is_shuffled(train: Data) -> bool:
    inner = train.data if isinstance(train, StatedEpochs) else train
    return isinstance(inner, TensorData | DatasetData)


def _make(source: Source, split: Split) -> Data:
    data = _kind_of(source, split)
    if split.is_trained and split.stated is not None and not isinstance(data, StreamData):
        return StatedEpochs(data, split.stated)
    return data


def _kind_of(source: Source, split: Split) -> Data:
    """The data in epochs of their own length, or a stream. Raises TaskError."""
    if isinstance(source, TensorDataset) and (len(source.tensors) == 2 or not split.pairs):
        source = source.tensors
    if are_tensors(source, pairs=split.pairs):
        return _of_tensors(source, split)
    if isinstance(source, IterableDataset):
        return _of_stream(_stream_loader(source, split), split)
    if isinstance(source, Dataset):
        return _of_dataset(source, split)
    loader = _call(source, split)
    if not isinstance(loader, DataLoader):
        return _of_iterable(loader, lambda: _call(source, split), split)
    if _iterates_itself(loader):
        return _of_iterable(loader, lambda: loader, split)
    if isinstance(loader.dataset, IterableDataset):
        return _of_stream(loader, split)
    return _of_loader(loader, split)


def _of_tensors(source: Source, split: Split) -> Data:
    check_lengths(source, split.which, pairs=split.pairs)
    if split.most is not None:
        source = first_samples(source, split.most * split.most_size)
    data = TensorData(source, split.batch_size, split.device)
    _check_samples(data.length, split)
    return data


def _of_dataset(source: Dataset[Any], split: Split) -> Data:
    if not isinstance(source, Sized):
        raise TaskError(
            f"{split.which} is {type(source).__name__}, whose length is unknown; give it __len__, "
            f"or make it an IterableDataset"
        )
    if split.most is not None:
        source = Subset(source, range(min(len(source), split.most * split.most_size)))
    data = DatasetData(source, split.batch_size, split.device)
    _check_samples(data.length, split)
    return data


def _check_samples(samples: int, split: Split) -> None:
    if samples == 0:
        raise TaskError(f"{split.which} is empty")
    if split.is_trained and samples < split.batch_size:
        raise TaskError(
            f"train has {samples} samples, fewer than one batch of {split.batch_size}; the last "
            f"partial batch is dropped, so make batch_size smaller"
        )


def _of_loader(loader: Loader, split: Split) -> Data:
    try:
        batches = len(loader)
    except TypeError:
        return _of_iterable(loader, lambda: loader, split)
    _check_batches(loader, batches, split)
    return LoaderData(loader, split.device, split.most)


def _check_batches(loader: Loader, batches: int, split: Split) -> None:
    """Raises TaskError where a loader of a known length gives too little."""
    samples = len(loader.dataset) if isinstance(loader.dataset, Sized) else batches
    if samples == 0:
        raise TaskError(f"{split.which} is empty")
    if not split.is_trained and batches == 0:
        raise TaskError(f"{split.which}'s DataLoader drops its only batch; leave drop_last out")
    if split.is_trained and full_batches(loader) == 0:
        raise TaskError(
            f"train has {samples} samples, fewer than one batch of "
            f"{loader.batch_size or split.batch_size}; the last partial batch is dropped, so make "
            f"batch_size smaller"
        )


def _of_iterable(
    loader: Iterable[Batch], again: Callable[[], Iterable[Batch]], split: Split
) -> Data:
    """What iterates by itself: a DataLoader with an iteration of its own, or any iterable."""
    begin = own_passes(loader, again)
    try:
        batches = len(loader)  # type: ignore[arg-type]
    except TypeError:
        return _of_passes(begin, type(loader).__name__, split)
    if batches and isinstance(loader, DataLoader):
        batches = full_batches(loader) if split.is_trained else batches
    if batches == 0:
        raise TaskError(f"{split.which} is empty")
    if split.stated is not None:
        return StreamData(begin, split.stated, split.device, split.which)
    return OwnLoaderData(begin, batches, split.device, split.most)


def _of_stream(loader: Loader, split: Split) -> Data:
    return _of_passes(StreamPasses(loader), type(loader.dataset).__name__, split)


def _of_passes(begin: Begin, name: str, split: Split) -> Data:
    if split.is_trained and split.stated is None:
        raise TaskError(
            f"train is {name}, whose length is unknown; say how many optimizer steps an epoch has: "
            f"Task(steps_per_epoch=...)"
        )
    if not split.is_trained and split.most is None:
        raise TaskError(
            f"{split.which} is {name}, whose length is unknown; say how many batches a validation "
            f"takes: Task(validation_batches=...)"
        )
    return StreamData(begin, split.stated or 0, split.device, split.which, split.most)


def _stream_loader(source: IterableDataset[Any], split: Split) -> Loader:
    """lrsearch's own batches of a stream; in training a partial one is dropped."""
    return DataLoader(source, batch_size=split.batch_size, drop_last=split.is_trained)


def _is_stream(source: Source) -> bool:
    return isinstance(source, IterableDataset) or callable(source)


def _iterates_itself(loader: Loader) -> bool:
    """Whether a class of the user's changes how batches are read."""
    kind = type(loader)
    plain = kind.__iter__ is DataLoader.__iter__ and (
        kind._get_iterator is DataLoader._get_iterator
    )
    pipe = getattr(loader.dataset, "_is_child_datapipe", None) is not None
    return not plain or pipe


def _call(source: Source, split: Split) -> Iterable[Batch]:
    """What a function of the task's returns. Raises TaskError unless it can be iterated."""
    if not callable(source):
        raise TaskError(f"{split.which} is {type(source).__name__}, but {split.accepted} is needed")
    try:
        loader = source()
    except Exception as error:
        raise TaskError(f"{split.which} raised {describe(error)}") from error
    if isinstance(loader, tuple | dict | str | Dataset) or not isinstance(loader, Iterable):
        raise TaskError(
            f"{split.which} returned {type(loader).__name__}, but a DataLoader is needed"
        )
    return loader
