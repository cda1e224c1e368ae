"""`run.batches`: a loader whose place inside an epoch is kept, so that a run can go on there."""

import linecache
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Generic, TypeVar

from torch.utils._pytree import PyTree
from torch.utils.data import IterableDataset

from lrsearch.own_loop.holders import LoaderState, has_place
from lrsearch.own_loop.kept import Kept, StateError

Batch = TypeVar("Batch")
#: A run can be interrupted before each batch; it is asked for here.
AtBatch = Callable[[], None]


class Batches(Generic[Batch]):
    """A loader that `run.batches` was given; it gives the same batches, and has its length."""

    def __init__(self, loader: Iterable[Batch], loaders: "Loaders", at_batch: AtBatch) -> None:
        self._loader, self._loaders, self._at_batch = loader, loaders, at_batch

    def __iter__(self) -> Iterator[Batch]:
        self._loaders.see_enumerate(sys._getframe(1))
        return (batch for _, batch in self._loaders.iterate(self._loader, self._at_batch))

    def __len__(self) -> int:
        return len(self._loader)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> PyTree:
        if name == "_loader":  # of a copy that is being made
            raise AttributeError(name)
        return getattr(self._loader, name)


class Numbered(Batches[Batch]):
    """The same, as pairs of a batch's number in its epoch and the batch."""

    def __iter__(self) -> Iterator[tuple[int, Batch]]:  # type: ignore[override]
        return self._loaders.iterate(self._loader, self._at_batch)


class Place:
    """Where in a loader's batches a run stands."""

    def __init__(self) -> None:
        #: Batches given, and how it was at the start; None between loaders.
        self.here: dict[str, PyTree] | None = None
        #: The same, of a run that goes on there.
        self.resume: dict[str, PyTree] | None = None

    def state_dict(self) -> dict[str, PyTree]:
        return {} if self.here is None else dict(self.here)

    def load_state_dict(self, state: dict[str, PyTree]) -> None:
        self.resume = state or None


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
        self._place = Place()
        kept.add("run.batches", self._place, compared=False)

    @property
    def resumes_inside(self) -> bool:
        """Whether the run goes on inside an epoch."""
        return self._place.resume is not None

    def top(self) -> None:
        """An epoch begins."""
        self._begun = 0

    def see_enumerate(self, frame: FrameType) -> None:
        """Say what becomes of `enumerate(run.batches(loader))`, in the code of this frame."""
        path, line = frame.f_code.co_filename, frame.f_lineno
        if self._begun == 0 and "enumerate(" in linecache.getline(path, line):
            self._hint(
                "enumerate",
                f"{Path(path).name}:{line}: enumerate counts from 0 again where an interrupted run "
                f"goes on inside an epoch; if the number decides anything, write "
                f"`for i, batch in run.batches(loader, numbered=True)`",
            )

    def iterate(
        self, loader: Iterable[Batch], at_batch: AtBatch
    ) -> Generator[tuple[int, Batch], None, None]:
        """The loader's batches and their numbers, without those that were given before."""
        if not self._is_followed(loader):
            yield from enumerate(loader)
            return
        resume, self._place.resume = self._place.resume, None
        self._know(loader)
        place = self._place.here = self._start(loader) if resume is None else dict(resume)
        iterator = iter(loader) if resume is None else self._go_on(loader, resume)
        try:
            while True:
                at_batch()
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
                number = place["given"]
                place["given"] = number + 1
                yield number, batch
        finally:
            self._place.here = None

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

    def _start(self, loader: PyTree) -> dict[str, PyTree]:
        """The place before the first batch."""
        return {
            "given": 0,
            "start": self._kept.streams(),
            "loader": vars(LoaderState.of(loader)),
        }

    def _go_on(self, loader: PyTree, place: dict[str, PyTree]) -> Iterator[PyTree]:
        given, start, begun = place.values()
        self._kept.set_streams(start)
        has_state = has_place(loader)
        if has_state:
            self._kept.restore()  # its own place, if it was not known before
        else:
            LoaderState(**begun).put(loader)
        iterator: Iterator[PyTree] = iter(loader)
        for count in range(0 if has_state else given):
            if next(iterator, self) is self:
                raise StateError(
                    f"run.batches: the loader gave {count} batches, but {given} when the run was "
                    f"interrupted; make it from the same data"
                )
        self._kept.restore()
        self._kept.arrive()
        self._place.resume = None
        return iterator

    def _know(self, loader: Iterable[Batch]) -> None:
        """Keep a loader with a state, unless the script or the search for objects has."""
        if has_place(loader) and not any(value is loader for value in self._kept.values()):
            self._kept.keep("loader of run.batches", loader, compared=False)


def _refusal(loader: PyTree) -> str:
    """Why no checkpoint can lie between two batches of a loader; empty if it can."""
    if has_place(loader):
        return ""
    if isinstance(loader, Iterator):
        return f"a {type(loader).__name__} gives its batches once, and cannot begin again"
    if isinstance(getattr(loader, "dataset", None), IterableDataset):
        return (
            "a DataLoader over an IterableDataset cannot tell where it stands; use torchdata's "
            "StatefulDataLoader over a dataset with state_dict and load_state_dict"
        )
    return ""
