"""Map-style datasets: lrsearch's own batches of a Dataset, or those of a user's DataLoader."""

from collections.abc import Collection, Iterator, Sequence
from copy import copy
from typing import Any, Self

import torch
from torch.utils.data import Dataset, Subset

from lrsearch.training.data.batches import Batch
from lrsearch.training.data.order import Loader, epoch_order, epoch_seed, loader_order
from lrsearch.training.data.reading import Reader, Ticket
from lrsearch.training.data.tensors import VALIDATION_FACTOR
from lrsearch.training.randomness import VALIDATION_SEED, mixed

#: A dataset of any samples.
Samples = Dataset[Any]


def batch_seed(seed: int, epoch: int, number: int) -> int:
    """What seeds the random numbers that a training batch is read with."""
    return mixed("train", seed, epoch, number)


def validation_seed(number: int) -> int:
    """What seeds the random numbers that a validation batch is read with, in every validation."""
    return mixed("validation", VALIDATION_SEED, number)


class DatasetData:
    """A map-style dataset, collated as torch's DataLoader does, in the same order as tensors."""

    def __init__(self, dataset: Samples, batch_size: int, device: torch.device) -> None:
        self.reader, self.batch_size = Reader(dataset, device), batch_size
        self.dataset, self.device = dataset, device
        self.length = len(dataset)  # type: ignore[arg-type]
        self.batches = self.length // batch_size

    def train(self, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        order, size = epoch_order(self.length, seed, epoch).tolist(), self.batch_size
        return self.reader.read(
            Ticket(batch_seed(seed, epoch, step), order[step * size : (step + 1) * size])
            for step in range(skip, self.batches)
        )

    def validation(self) -> Iterator[Batch]:
        size = self.batch_size * VALIDATION_FACTOR
        return self.reader.read(
            Ticket(validation_seed(start), list(range(start, min(start + size, self.length))))
            for start in range(0, self.length, size)
        )

    def part(self, indices: Sequence[int]) -> "DatasetData":
        """These samples alone."""
        return DatasetData(Subset(self.dataset, indices), self.batch_size, self.device)


class LoaderData:
    """A DataLoader of the user's own: its samplers, its collate function and its workers.

    The order is seeded from (seed, epoch), and each batch from its number in it too.
    """

    def __init__(self, loader: Loader, device: torch.device, most: int | None = None) -> None:
        """A validation takes `most` batches, or all."""
        self.loader, self.most = loader, most
        self.reader = Reader(
            loader.dataset,
            device,
            collate=loader.collate_fn,
            batched=loader.batch_sampler is not None,
            like=loader,
        )
        self.batches = full_batches(loader)
        #: Numbers of the batches that a validation takes; None: all.
        self._chosen: Collection[int] | None = None

    @property
    def validation_batches(self) -> int:
        """How many batches a validation of the whole set takes."""
        return len(self.loader) if self.most is None else min(self.most, len(self.loader))

    def train(self, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        order = loader_order(self.loader, epoch_seed(seed, epoch), self.batches)
        return self.reader.read(
            Ticket(batch_seed(seed, epoch, number), index)
            for number, index in enumerate(order)
            if number >= skip
        )

    def validation(self) -> Iterator[Batch]:
        order = loader_order(self.loader, VALIDATION_SEED, self.most or len(self.loader))
        chosen = self._chosen
        return self.reader.read(
            Ticket(validation_seed(number), index)
            for number, index in enumerate(order)
            if chosen is None or number in chosen
        )

    def part(self, numbers: Collection[int]) -> Self:
        """The same data, of which a validation takes these batches, with the same workers."""
        part = copy(self)
        part._chosen = frozenset(numbers)
        return part


def full_batches(loader: Loader) -> int:
    """How many batches of a DataLoader have all their samples."""
    if loader.batch_sampler is None or loader.drop_last or loader.batch_size is None:
        return len(loader)
    return len(loader.sampler) // loader.batch_size  # type: ignore[arg-type]
