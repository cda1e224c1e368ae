"""`run.batches`: a loader whose place inside an epoch is kept, so that a run can go on there."""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from torch.utils._pytree import PyTree
from torch.utils.data import IterableDataset

from lrsearch.own_loop.holders import generators_of, holder_of
from lrsearch.own_loop.kept import Kept, StateError

Batch = TypeVar("Batch")
#: A run can be interrupted before each batch; it is asked for here.
AtBatch = Callable[[], None]


class Batches(Generic[Batch]):
    """A loader that `run.batches` was given; it gives the same batches, and has its length."""

    def __init__(self, loader: Iterable[Batch], loaders: "Loaders", at_batch: AtBatch) -> None:
        self._loader, self._loaders, self._at_batch = loader, loaders, at_batch

    def __iter__(self) -> Iterator[Batch]:
        return self._loaders.iterate(self._loader, self._at_batch)

    def __len__(self) -> int:
        return len(self._loader)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> PyTree:
        return getattr(self._loader, name)


class Loaders:
    """Where in the epoch a run stands: how many batches its first loader has given.

    A run that goes on there lets the loader begin from the random numbers that it began from, and
    leaves out the batches that were given; a loader with a state of its own goes on from that.
    """

    def __init__(self, kept: Kept, hint: Callable[[str, str], None]) -> None:
        """`hint` takes a key and a text, which is said once."""
        self._kept, self._hint = kept, hint
        #: Loaders that were begun in this epoch; None before the first epoch.
        self._begun: int | None = None
        #: Batches given and the random numbers at the start; None between loaders.
        self._place: dict[str, PyTree] | None = None
        self._resume: dict[str, PyTree] | None = None

    @property
    def resumes_inside(self) -> bool:
        """Whether the run goes on inside an epoch."""
        return self._resume is not None

    def top(self) -> None:
        """An epoch begins."""
        self._begun = 0

    def state_dict(self) -> dict[str, PyTree]:
        return {} if self._place is None else dict(self._place)

    def load_state_dict(self, state: dict[str, PyTree]) -> None:
        self._resume = state or None

    def iterate(self, loader: Iterable[Batch], at_batch: AtBatch) -> Iterator[Batch]:
        """The loader's batches, those left out that an interrupted run was given."""
        if not self._is_followed(loader):
            yield from loader
            return
        resume, self._resume = self._resume, None
        iterator = self._begin(loader) if resume is None else self._go_on(loader, resume)
        try:
            while True:
                at_batch()
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
                self._give(1)
                yield batch
        finally:
            self._place = None

    def _is_followed(self, loader: Iterable[Batch]) -> bool:
        """Whether a checkpoint can lie inside this loader: the first one of an epoch alone."""
        if self._begun is None:
            return False
        self._begun += 1
        if self._begun > 1:
            return False
        reason = _refusal(loader)
        if reason:
            self._hint("batches", f"run.batches: {reason}; checkpoints lie between epochs only")
        return not reason

    def _begin(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        self._know(loader)
        self._place = {
            "given": 0,
            "start": self._kept.streams(),
            "generators": [generator.get_state() for generator in generators_of(loader)],
        }
        return iter(loader)

    def _go_on(self, loader: Iterable[Batch], place: dict[str, PyTree]) -> Iterator[Batch]:
        self._know(loader)
        given, start, generators = place.values()
        self._place = dict(place)
        self._kept.set_streams(start)
        has_state = _has_state(loader)
        if has_state:
            self._kept.restore()  # its own place, if it was not known before
        else:
            for generator, state in zip(generators_of(loader), generators, strict=True):
                generator.set_state(state)
        iterator = iter(loader)
        for count in range(0 if has_state else given):
            if next(iterator, self) is self:
                raise StateError(
                    f"run.batches: the loader gave {count} batches, but {given} when the run was "
                    f"interrupted; make it from the same data"
                )
        self._kept.restore()
        self._kept.arrive()
        self._resume = None
        return iterator

    def _know(self, loader: Iterable[Batch]) -> None:
        """Keep the loader, unless the script or the search for objects has."""
        known = any(value is loader for value in self._kept.values())
        if not known and holder_of(loader) is not None:
            self._kept.add("loader of run.batches", loader, compared=False)

    def _give(self, count: int) -> None:
        if self._place is not None:
            self._place["given"] += count


def _has_state(loader: PyTree) -> bool:
    return callable(getattr(loader, "state_dict", None)) and holder_of(loader) is not None


def _refusal(loader: PyTree) -> str:
    """Why no checkpoint can lie between two batches of a loader; empty if it can."""
    if _has_state(loader):
        return ""
    if isinstance(loader, Iterator):
        return f"a {type(loader).__name__} gives its batches once, and cannot begin again"
    if isinstance(getattr(loader, "dataset", None), IterableDataset):
        return (
            "a DataLoader over an IterableDataset cannot tell where it stands; use torchdata's "
            "StatefulDataLoader over a dataset with state_dict and load_state_dict"
        )
    return ""
