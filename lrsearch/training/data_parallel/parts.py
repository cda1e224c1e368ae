"""A process's part of each training batch of a trial."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from lrsearch.errors import TaskError
from lrsearch.training.data import Batch, Data, TensorData, epoch_order, told_size
from lrsearch.training.data.datasets import DatasetData, LoaderData, batch_seed
from lrsearch.training.data.order import epoch_seed, loader_order
from lrsearch.training.data.reading import Ticket
from lrsearch.training.data.streams import StatedEpochs
from lrsearch.training.data_parallel.place import Place
from lrsearch.training.randomness import mixed

T = TypeVar("T")


def bounds(samples: int, place: Place) -> tuple[int, int]:
    """Where the part of a batch of so many samples begins and ends, as `Tensor.tensor_split` cuts.

    Raises TaskError where there are fewer samples than processes.
    """
    least, more = divmod(samples, place.ranks)
    if least == 0:
        raise TaskError(
            f"a batch has {samples} samples, fewer than devices_per_trial = {place.ranks}; make "
            f"batch_size at least that"
        )
    first = place.rank * least + min(place.rank, more)
    return first, first + least + (place.rank < more)


def parts_of(data: Data, place: Place) -> Data:
    """The same data, of whose training batches a process gets its part.

    The parts of all processes, in the order of their ranks, are the batch of a trial on one device.
    Validation is of every sample.
    """
    if isinstance(data, StatedEpochs):
        return StatedEpochs(parts_of(data.data, place), data.batches)
    return Parts(data, place)


class Parts:
    """See `parts_of`. What lrsearch or a DataLoader reads by index is read in part alone."""

    def __init__(self, data: Data, place: Place) -> None:
        self.data, self.place, self.batches = data, place, data.batches
        self.validation = data.validation

    def train(self, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        data = self.data
        if isinstance(data, TensorData):
            order = epoch_order(data.length, seed, epoch).to(data.device)
            for index in _batches(order, data.batch_size, skip, data.batches):
                yield data.pick(self._cut(index))
        elif isinstance(data, DatasetData):
            whole = epoch_order(data.length, seed, epoch).tolist()
            lists = enumerate(_batches(whole, data.batch_size, skip, data.batches), skip)
            yield from data.reader.read(self._tickets(lists, seed, epoch))
        elif isinstance(data, LoaderData) and data.reader.fetch.batched:
            indices = loader_order(data.loader, epoch_seed(seed, epoch), data.batches)
            numbered = ((number, index) for number, index in enumerate(indices) if number >= skip)
            yield from data.reader.read(self._tickets(numbered, seed, epoch))
        else:
            for batch in data.train(seed, epoch, skip):
                yield self._part(batch)

    def _tickets(
        self, numbered: Iterator[tuple[int, Sequence[int]]], seed: int, epoch: int
    ) -> Iterator[Ticket]:
        """Rank 0 reads with a batch's own random numbers, the others with those of their own."""
        rank = self.place.rank
        for number, index in numbered:
            of_batch = batch_seed(seed, epoch, number)
            yield Ticket(mixed(of_batch, rank) if rank else of_batch, self._cut(list(index)))

    def _cut(self, index: T) -> T:
        first, end = bounds(len(index), self.place)  # type: ignore[arg-type]
        part: T = index[first:end]  # type: ignore[index]
        return part

    def _part(self, batch: Batch) -> Batch:
        """The part of a batch that can only be read as a whole. Raises TaskError."""
        size = told_size(batch)
        if size is None or not all(isinstance(leaf, Tensor) for leaf in tree_leaves(batch)):
            raise TaskError(
                "devices_per_trial cuts each batch, but train gives batches that are not tensors "
                "of one length; give a Dataset, or a DataLoader of one"
            )
        first, end = bounds(size, self.place)
        cut: Callable[[Tensor], Tensor] = lambda x: x[first:end] if x.ndim else x  # noqa: E731
        return tree_map(cut, batch)


def _batches(order: T, size: int, first: int, end: int) -> Iterator[T]:
    for number in range(first, end):
        yield order[number * size : (number + 1) * size]  # type: ignore[index]
