"""Data that can only be read from their beginning, and epochs of a stated number of steps."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from lrsearch.errors import TaskError
from lrsearch.task.code import TaskFiles
from lrsearch.training.data.batches import Batch, to_device
from lrsearch.training.data.generators import generators_in, seed_generators
from lrsearch.training.data.killed import watched
from lrsearch.training.data.order import Loader, epoch_seed, seed_order
from lrsearch.training.data.protocol import Data
from lrsearch.training.data.reading import loader_with
from lrsearch.training.failures import ProcessKilledError
from lrsearch.training.randomness import VALIDATION_SEED, Streams, mixed, seed_host

#: What starts a pass over data: its seed and its number, to what gives the batches.
Begin = Callable[[int, int], AbstractContextManager[Iterable[Batch]]]
_END = object()


class SeededStream(IterableDataset[Any]):
    """A user's iterable dataset, its random numbers seeded for each pass and each worker."""

    def __init__(self, dataset: IterableDataset[Any]) -> None:
        self.files = TaskFiles()  # before all that may be of one of them
        self.dataset = dataset
        #: Seed and number of the pass.
        self.told = torch.zeros(2, dtype=torch.int64)

    def __iter__(self) -> Iterator[Any]:
        seed, number = self.told.tolist()
        worker = get_worker_info()
        own = mixed(seed, 0 if worker is None else worker.id)
        seed_host(own)
        seed_generators(generators_in(self.dataset), own)
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(number)
        return iter(self.dataset)


class StreamPasses:
    """Passes over an iterable dataset, by workers as a loader's, which stay."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self._idle: list[Loader] = []

    @contextmanager
    def __call__(self, seed: int, number: int) -> Iterator[Iterable[Batch]]:
        mine = self._idle.pop() if self._idle else _stream_loader(self.loader)
        assert isinstance(mine.dataset, SeededStream)
        mine.dataset.told.copy_(torch.tensor([seed, number]))
        try:
            yield mine
        finally:
            self._idle.append(mine)

    def close(self) -> None:
        """Let the workers end that nobody reads from."""
        self._idle.clear()


def _stream_loader(like: Loader) -> Loader:
    assert isinstance(like.dataset, IterableDataset)
    stream = SeededStream(like.dataset)
    if like.num_workers:
        stream.told.share_memory_()  # type: ignore[no-untyped-call]  # so that workers that stay can read it
    return loader_with(
        stream,
        like,
        batch_size=like.batch_size,
        drop_last=like.drop_last,
        collate_fn=like.collate_fn,
    )


def own_passes(loader: Iterable[Batch], again: Callable[[], Iterable[Batch]]) -> Begin:
    """Passes over what iterates by itself; `again` gives it anew where that works only once."""
    first: list[Iterable[Batch]] = [loader]
    is_once = iter(loader) is loader

    @contextmanager
    def begin(seed: int, number: int) -> Iterator[Iterable[Batch]]:
        seed_generators(generators_in(loader), mixed(seed))
        if isinstance(loader, DataLoader):
            seed_order(loader, seed)
            # Persistent workers would go on with the random streams of the pass before.
            loader._iterator = None
        yield (first.pop() if first else again()) if is_once else loader

    return begin


def read_pass(begin: Begin, seed: int, number: int, device: torch.device) -> Iterator[Batch]:
    """The batches of a pass on the device, drawn from random streams of their own."""
    streams = Streams()
    with ExitStack() as stack:
        stack.push(_closing(begin))
        with streams.seeded(seed):
            batches = watched(stack.enter_context(begin(seed, number)))
            streams.keep()
        while True:
            with streams.going_on():
                batch = next(batches, _END)
            if batch is _END:
                return
            yield to_device(batch, device)


def _closing(begin: Begin) -> Callable[..., None]:
    """At the end of a pass in which a process was killed: the next pass has new ones."""

    def close(kind: type[BaseException] | None, *rest: object) -> None:
        killed = kind is not None and issubclass(kind, ProcessKilledError)
        if killed and isinstance(begin, StreamPasses):
            begin.close()

    return close


class OwnLoaderData:
    """Something of a known length that iterates by itself: each epoch is one pass."""

    def __init__(
        self, begin: Begin, batches: int, device: torch.device, most: int | None = None
    ) -> None:
        """An epoch has so many batches, a validation `most` or all."""
        self.begin, self.batches, self.device, self.most = begin, batches, device, most

    def train(self, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        batches = read_pass(self.begin, epoch_seed(seed, epoch) % 2**63, epoch, self.device)
        return islice(batches, skip, self.batches)

    def validation(self) -> Iterator[Batch]:
        return islice(read_pass(self.begin, VALIDATION_SEED, 0, self.device), self.most)


@dataclass
class _Reading:
    """Where a stream is being read."""

    seed: int
    batches: Iterator[Batch]
    #: How many were read.
    number: int = 0


def _passes(begin: Begin, seed: int, device: torch.device, which: str) -> Iterator[Batch]:
    """Pass after pass over training data. Raises TaskError where one gives nothing."""
    for number in count():
        pass_seed, batch = mixed("train", seed, number), None
        for batch in read_pass(begin, pass_seed, number, device):
            yield batch
        if batch is None:
            raise TaskError(
                f"{which} gave no batch in pass {number + 1} over it; its __iter__ has to begin "
                f"anew at each call, and to give a batch at least"
            )


class StreamData:
    """Data without a known length: an epoch is a stated number of batches, and the next goes on.

    Where the data end, another pass begins, seeded by (seed, pass). A resumed trial reads again up
    to its place.
    """

    def __init__(
        self,
        begin: Begin,
        batches: int,
        device: torch.device,
        which: str,
        most: int | None = None,
    ) -> None:
        """An epoch has so many batches, a validation `most`."""
        self.begin, self.batches, self.device = begin, batches, device
        self.which, self.most = which, most
        self._reading: _Reading | None = None

    def train(self, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        first = epoch * self.batches + skip
        # Taken while it is read, so that nobody else reads on.
        reading, self._reading = self._reading, None
        if reading is None or reading.seed != seed or reading.number > first:
            reading = _Reading(seed, _passes(self.begin, seed, self.device, self.which))
        try:
            while reading.number < (epoch + 1) * self.batches:
                batch = next(reading.batches)
                reading.number += 1
                if reading.number > first:
                    yield batch
        except Exception:
            self.close()  # what has failed gives nothing more
            raise
        except GeneratorExit:
            self._reading = reading
            raise
        self._reading = reading

    def close(self) -> None:
        """Let the workers end; whoever reads on begins anew."""
        self._reading = None
        if isinstance(self.begin, StreamPasses):
            self.begin.close()

    def validation(self) -> Iterator[Batch]:
        return islice(read_pass(self.begin, VALIDATION_SEED, 0, self.device), self.most)


class StatedEpochs:
    """Data of a known length in epochs of a stated number of batches, which go on through it."""

    def __init__(self, data: Data, batches: int) -> None:
        self.data, self.batches = data, batches

    def train(self, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        number, end = epoch * self.batches + skip, (epoch + 1) * self.batches
        while number < end:
            passed, offset = divmod(number, self.data.batches)
            for batch in islice(self.data.train(seed, passed, offset), end - number):
                yield batch
                number += 1

    def validation(self) -> Iterator[Batch]:
        return self.data.validation()
