"""Batches: tensors kept on the device and indexed, datasets collated, DataLoaders re-seeded.

The order of epoch e is `randperm(n, generator=Generator().manual_seed(seed * 1_000_003 + e))`,
the same for every trial of a study, so that their losses are paired.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Protocol

import torch
from torch.utils._pytree import PyTree
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from lrsearch.errors import TaskError, describe
from lrsearch.task.task import Task

#: Validation keeps no activations for a backward pass, so it takes larger batches.
VALIDATION_FACTOR = 8

#: What the data give for a batch: inputs and targets, or anything that the task's `step` takes.
Batch = PyTree
#: What a loader gives: batches, or whatever else a user's code makes.
Loader = DataLoader[PyTree]
Samples = Dataset[PyTree]
#: One split of a task, as its author gives it.
Source = tuple[torch.Tensor, torch.Tensor] | Samples | Callable[[], Loader]


class Data(Protocol):
    """One split of a task's data."""

    #: Training batches an epoch has; the last partial one is dropped.
    batches: int

    def train(self, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        """The training batches of one epoch on the device, without the first `skip`."""
        ...

    def validation(self) -> Iterator[Batch]:
        """Every sample once, in order."""
        ...


def epoch_seed(seed: int, epoch: int) -> int:
    return seed * 1_000_003 + epoch


def epoch_order(n: int, seed: int, epoch: int) -> torch.Tensor:
    """The permutation of n samples that all trials with this seed see in this epoch."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(epoch_seed(seed, epoch)))


def to_device(value: PyTree, device: torch.device) -> PyTree:
    """Tensors inside tuples, lists and mappings moved to the device."""
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, tuple | list):
        items = [to_device(item, device) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: to_device(item, device) for key, item in value.items()}
    if callable(getattr(value, "to", None)):
        return value.to(device)
    return value


def samples_of(batch: PyTree) -> int:
    """How many samples a batch, or its targets, have: the length of the first tensor in it.

    Tensors may lie in tuples, lists and mappings. Raises TaskError where there is none.
    """
    for tensor in tensors_in(batch):
        if tensor.ndim:
            return len(tensor)
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
    """The tensors inside tuples, lists and mappings, in their order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)


class TensorData:
    """Tensors `(inputs, targets)` of equal length, wholly on the device."""

    def __init__(
        self, inputs: torch.Tensor, targets: torch.Tensor, batch_size: int, device: torch.device
    ) -> None:
        self.inputs, self.targets = inputs.to(device), targets.to(device)
        self._pick_inputs, self._pick_targets = _picker(self.inputs), _picker(self.targets)
        self.batch_size, self.length, self.device = batch_size, len(inputs), device
        self.batches = len(inputs) // batch_size

    def train(self, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        order = epoch_order(len(self.inputs), seed, epoch).to(self.inputs.device)
        for step in range(skip, self.batches):
            yield self.pick(order[step * self.batch_size : (step + 1) * self.batch_size])

    def pick(self, index: torch.Tensor) -> Batch:
        """The samples that a vector on the device names."""
        return self._pick_inputs(index), self._pick_targets(index)

    def validation(self) -> Iterator[Batch]:
        size = self.batch_size * VALIDATION_FACTOR
        for start in range(0, len(self.inputs), size):
            yield self.inputs[start : start + size], self.targets[start : start + size]


def _picker(values: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """`index -> values[index]`, in half the time where the tensor has the default layout."""
    # index_select would turn another layout, such as channels_last, into the default one.
    if values.stride() == torch.empty(values.shape, device="meta").stride():
        return partial(values.index_select, 0)
    return values.__getitem__


class DatasetData:
    """A map-style dataset, collated as torch's DataLoader does, in the same order as tensors."""

    def __init__(self, dataset: Samples, batch_size: int, device: torch.device) -> None:
        self.dataset, self.batch_size, self.device = dataset, batch_size, device
        self.length = len(dataset)  # type: ignore[arg-type]
        self.batches = self.length // batch_size

    def train(self, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        order = epoch_order(self.length, seed, epoch).tolist()
        batches = [
            order[step * self.batch_size : (step + 1) * self.batch_size]
            for step in range(skip, self.batches)
        ]
        for batch in self._loader(batch_sampler=batches):
            yield to_device(batch, self.device)

    def _loader(
        self, *, batch_size: int = 1, batch_sampler: Iterable[list[int]] | None = None
    ) -> Loader:
        # A generator of its own: else every pass would draw from the model's random stream.
        generator = torch.Generator()
        return DataLoader(
            self.dataset, batch_size, batch_sampler=batch_sampler, generator=generator
        )

    def validation(self) -> Iterator[Batch]:
        size = self.batch_size * VALIDATION_FACTOR
        for batch in self._loader(batch_size=size):
            yield to_device(batch, self.device)


class LoaderData:
    """A DataLoader of the user's own; its generators and workers are seeded from (seed, epoch)."""

    def __init__(self, loader: Loader, device: torch.device) -> None:
        self.loader, self.device = loader, device
        self.batches = _full_batches(loader)

    def train(self, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        # Sampler and transforms draw from the global generator while they run: give them a stream
        # of their own, and the model's dropout its own back after each batch.
        model_state = torch.get_rng_state()
        batches = self._iterate(epoch_seed(seed, epoch))
        for step in range(self.batches):
            batch = next(batches)
            stream = torch.get_rng_state()
            torch.set_rng_state(model_state)
            if step >= skip:
                yield to_device(batch, self.device)
            model_state = torch.get_rng_state()
            torch.set_rng_state(stream)
        torch.set_rng_state(model_state)

    def _iterate(self, seed: int) -> Iterator[Batch]:
        """A new pass over the loader, its generators, workers and the global generator seeded."""
        for generator in _generators(self.loader):
            generator.manual_seed(seed % 2**63)
        torch.set_rng_state(torch.Generator().manual_seed(seed % 2**63).get_state())
        # Persistent workers would go on with the random streams of the pass before.
        self.loader._iterator = None
        return iter(self.loader)

    def validation(self) -> Iterator[Batch]:
        model_state = torch.get_rng_state()
        try:
            for batch in self._iterate(0):
                yield to_device(batch, self.device)
        finally:
            torch.set_rng_state(model_state)


def _generators(loader: Loader) -> list[torch.Generator]:
    holders = (loader, loader.sampler, getattr(loader.batch_sampler, "sampler", None))
    found = [getattr(holder, "generator", None) for holder in holders]
    return list({id(generator): generator for generator in found if generator is not None}.values())


def _full_batches(loader: Loader) -> int:
    if loader.batch_sampler is None or loader.drop_last or loader.batch_size is None:
        return len(loader)
    return len(loader.sampler) // loader.batch_size  # type: ignore[arg-type]


def make_data(source: Source, batch_size: int, device: torch.device, which: str) -> Data:
    """The split `which` (train, validation or test) of a task. Raises TaskError if unusable."""
    if isinstance(source, TensorDataset) and len(source.tensors) == 2:
        source = source.tensors
    if isinstance(source, tuple | list) and len(source) == 2 and _are_tensors(source):
        inputs, targets = source
        if len(inputs) != len(targets):
            raise TaskError(f"{which} has {len(inputs)} inputs, but {len(targets)} targets")
        return TensorData(inputs, targets, batch_size, device)
    if isinstance(source, Dataset):
        _check_map_style(source, which)
        return DatasetData(source, batch_size, device)
    loader = _loader(source, which)
    _check_map_style(loader.dataset, which)
    return LoaderData(loader, device)


def _check_map_style(dataset: Samples, which: str) -> None:
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise TaskError(
            f"{which} is {type(dataset).__name__}, which cannot be read in any order; a map-style "
            f"dataset, with __getitem__ and __len__, is needed"
        )


def _are_tensors(values: Iterable[PyTree]) -> bool:
    return all(isinstance(value, torch.Tensor) for value in values)


def _loader(source: Source, which: str) -> Loader:
    if not callable(source):
        raise TaskError(
            f"{which} is {type(source).__name__}, but (inputs, targets) tensors, a Dataset or a "
            f"function that returns a DataLoader is needed"
        )
    try:
        loader = source()
    except Exception as error:
        raise TaskError(f"{which} raised {describe(error)}") from error
    if not isinstance(loader, DataLoader):
        raise TaskError(f"{which} returned {type(loader).__name__}, but a DataLoader is needed")
    return loader


def _size(data: Data) -> int:
    if isinstance(data, TensorData):
        return len(data.inputs)
    if isinstance(data, DatasetData):
        return data.length
    assert isinstance(data, LoaderData)
    return len(data.loader.dataset)  # type: ignore[arg-type]


def make_test(task: Task, batch_size: int, device: torch.device) -> Data:
    """The test set on the device; no sample of it is looked at. Raises TaskError if unusable."""
    data = make_data(task.test, batch_size, device, "test")
    _check_validated(data, "test")
    return data


def _check_validated(data: Data, which: str) -> None:
    if _size(data) == 0:
        raise TaskError(f"{which} is empty")
    if isinstance(data, LoaderData) and len(data.loader) == 0:
        raise TaskError(f"{which}'s DataLoader drops its only batch; leave drop_last out")


def make_splits(task: Task, batch_size: int, device: torch.device) -> tuple[Data, Data]:
    """Training and validation data on the device. Raises TaskError when there is too little."""
    train = make_data(task.train, batch_size, device, "train")
    validation = make_data(task.validation, batch_size, device, "validation")
    if _size(train) == 0:
        raise TaskError("train is empty")
    _check_validated(validation, "validation")
    if train.batches == 0:
        raise TaskError(
            f"train has {_size(train)} samples, fewer than one batch of {batch_size}; the last "
            f"partial batch is dropped, so make batch_size smaller"
        )
    return train, validation
