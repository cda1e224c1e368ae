"""Reading a map-style dataset, in this process or by DataLoader workers that stay.

Each batch is read with random streams that are seeded for it alone. So the number of workers does
not matter, and a resumed trial reads no batch that it has seen.
"""

import gc
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from lrsearch.task.code import TaskFiles
from lrsearch.training.data.batches import Batch, to_device
from lrsearch.training.data.generators import Generator, generators_in, seed_generators
from lrsearch.training.data.killed import watched
from lrsearch.training.data.order import Index, Loader
from lrsearch.training.randomness import Streams, drop_spare_normal

#: What a user's dataset gives for an index.
Sample = Any


@runtime_checkable
class Wrapped(Protocol):
    """What reads a user's dataset in its place."""

    @property
    def dataset(self) -> Dataset[Sample]: ...


class Ticket(NamedTuple):
    """What is read next: the seed of a batch's random numbers, and its samples."""

    seed: int
    index: Index


class Fetch(Dataset[Batch]):
    """A dataset whose index is a ticket and whose item is a batch, collated."""

    def __init__(
        self, dataset: Dataset[Sample], collate: Callable[..., Batch], *, batched: bool
    ) -> None:
        """With `batched` a ticket has a list of indices, else one that gives a whole batch."""
        self.files = TaskFiles()  # before all that may be of one of them
        self.dataset, self.collate, self.batched = dataset, collate, batched
        self._streams = Streams()
        self._generators: list[Generator] | None = None

    def __getitem__(self, ticket: Ticket) -> Batch:
        if self._generators is not None:
            return self._read(ticket)
        self._generators = self._find()
        batch = self._read(ticket)
        known, self._generators = len(self._generators), self._find()
        # Some datasets make their generators when they are read for the first time.
        return batch if len(self._generators) == known else self._read(ticket)

    def _find(self) -> list[Generator]:
        return generators_in(self.dataset, self.collate)

    def _read(self, ticket: Ticket) -> Batch:
        with self._streams.seeded(ticket.seed):
            seed_generators(self._generators or (), ticket.seed)
            if not self.batched:
                return self.collate(self.dataset[ticket.index])
            many = getattr(self.dataset, "__getitems__", None)
            samples = many(ticket.index) if many else [self.dataset[i] for i in ticket.index]
            return self.collate(samples)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_generators": None}  # another process has its own


class Order:
    """A sampler that gives what it is told for the next pass."""

    def __init__(self) -> None:
        self.tickets: Iterator[Ticket] = iter(())

    def __iter__(self) -> Iterator[Ticket]:
        return self.tickets


class WorkerStart:
    """What a DataLoader's worker does first."""

    def __init__(self, own: Callable[[int], None] | None) -> None:
        self.own = own

    def __call__(self, number: int) -> None:
        # Ctrl-C reaches every process of a terminal. The one that trains decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        info = get_worker_info()
        if info is not None and isinstance(info.dataset, Wrapped):
            # The user's own, for their function; past the class's __setattr__, which refuses.
            object.__setattr__(info, "dataset", info.dataset.dataset)
        if self.own is not None:
            self.own(number)


@cache
def leave_garbage_to_parents() -> None:
    """From now on no fork of this process takes what it inherits for garbage.

    An iterator of a DataLoader may be in there, held by an error that it raised. To delete it is to
    end its processes, and only their parent can do that: in a fork it shows a traceback.
    """
    os.register_at_fork(after_in_child=gc.freeze)


def as_it_is(batch: Batch) -> Batch:
    """Collate nothing: it is a batch already."""
    return batch


def loader_with(dataset: Dataset[Batch], like: Loader | None, **changes: Any) -> Loader:
    """A DataLoader over the dataset, with the workers and the rest of `like`; they stay."""
    # A generator of its own: else every pass would draw from the model's random stream.
    own: dict[str, Any] = {"generator": torch.Generator()}
    if like is not None:
        own |= {"pin_memory": like.pin_memory}
        if like.pin_memory_device:
            own |= {"pin_memory_device": like.pin_memory_device}
    if like is not None and like.num_workers:
        leave_garbage_to_parents()
        own |= {
            "num_workers": like.num_workers,
            "timeout": like.timeout,
            "prefetch_factor": like.prefetch_factor,
            "multiprocessing_context": like.multiprocessing_context,
            "worker_init_fn": WorkerStart(like.worker_init_fn),
            "persistent_workers": True,
        }
    return DataLoader(dataset, **{**own, **changes})


class Reader:
    """Reads batches by their tickets, with workers if `like`, a user's DataLoader, has any."""

    def __init__(
        self,
        dataset: Dataset[Sample],
        device: torch.device,
        *,
        collate: Callable[..., Batch] = default_collate,
        batched: bool = True,
        like: Loader | None = None,
    ) -> None:
        self.device, self.like = device, like
        self.fetch = Fetch(dataset, collate, batched=batched)
        self._order = Order()
        self._loader: Loader | None = None
        self._passes = 0

    def read(self, tickets: Iterable[Ticket]) -> Iterator[Batch]:
        """The batches on the device. Another call may come before all of them were taken."""
        left = iter(tickets)
        asked: deque[Ticket] = deque()

        def noted() -> Iterator[Ticket]:
            for ticket in left:
                asked.append(ticket)
                yield ticket

        ended = False
        while not ended:
            try:
                batches = watched(self._begin(chain(list(asked), noted())))
                mine, ended = self._passes, True
                for batch in batches:
                    asked.popleft()
                    drop_spare_normal()  # so that the number of workers does not matter to a model
                    yield to_device(batch, self.device)
                    if self._passes != mine:  # the workers read for another call now
                        ended = False
                        break
            except Exception:
                self.close()  # what has failed gives nothing more
                raise

    def _begin(self, tickets: Iterator[Ticket]) -> Loader:
        self._passes += 1
        self._order.tickets = tickets
        if self._loader is None:
            # Memory that is pinned is copied to a CUDA device while the host goes on.
            pins = self.like is None and self.device.type == "cuda"
            changes = {"pin_memory": True} if pins else {}
            self._loader = loader_with(
                self.fetch,
                self.like,
                batch_size=None,
                sampler=self._order,
                collate_fn=as_it_is,
                **changes,
            )
        return self._loader

    def close(self) -> None:
        """Let the workers end. Whoever reads on gets new ones."""
        self._passes += 1
        self._loader = None
