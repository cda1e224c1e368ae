"""The state of a run as its loop sees it: kept objects, found ones, and the place in the epoch."""

from collections.abc import Callable, Iterable
from types import FrameType

import torch
from torch.utils._pytree import PyTree

from lrsearch.own_loop.discover import Discovery
from lrsearch.own_loop.kept import Kept, StateError
from lrsearch.own_loop.loaders import AtBatch, Batch, Batches, Loaders, Numbered


class RunState:
    """What `run` keeps, from which an interrupted run goes on to the same bits."""

    def __init__(self, device: torch.device, hint: Callable[[str, str], None]) -> None:
        """`hint` takes a key and a text, which is said once for each key."""
        self.kept = Kept(device)
        self._loaders = Loaders(self.kept, hint)
        self._discovery = Discovery(self.kept)

    def load(self, data: bytes) -> None:
        """Go on from this state, once the script has come to its loop. Raises StateError."""
        self.kept.load(data)

    def enter(self, frames: Iterable[FrameType]) -> None:
        """The loop begins: find what nobody kept, and put a state back. Raises StateError.

        `frames` are those of the script's code, the innermost, which holds the loop, first.
        """
        self._discovery.enter(frames)
        self.kept.restore()
        self.kept.inside = True
        if not self._loaders.resumes_inside:
            self.kept.arrive()
        self._loaders.top()

    def top(self, frames: Iterable[FrameType], number: int) -> None:
        """Another epoch begins; the loop counts on to this number. Raises StateError."""
        if self.kept.goes_on:
            raise StateError(
                "the run was interrupted inside an epoch, but the script no longer iterates over "
                "run.batches(loader) there; begin anew"
            )
        self._discovery.top(frames, number)
        self._loaders.top()

    def keep(self, objects: dict[str, PyTree]) -> PyTree:
        """See `Run.keep`."""
        given = tuple(self.kept.keep(name, value) for name, value in objects.items())
        return given[0] if len(given) == 1 else given

    def batches(
        self, loader: Iterable[Batch], at_batch: AtBatch, *, numbered: bool = False
    ) -> Batches[Batch]:
        """See `Run.batches`; `at_batch` is called before each batch where a state can be made."""
        kind = Numbered if numbered else Batches
        return kind(loader, self._loaders, at_batch)

    def pack(self) -> bytes:
        """The state at the top of an epoch, or inside `at_batch`. Raises StateError."""
        return self.kept.pack()

    def digests(self) -> dict[str, str]:
        """SHA-256 of all that is kept and of the random streams, by name."""
        return self.kept.digests()

    def hints(self) -> list[str]:
        """What has changed from epoch to epoch and is not kept, with the line to add."""
        return self._discovery.hints()
