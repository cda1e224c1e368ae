"""What a worker works with, whatever it trains."""

from collections.abc import Callable
from dataclasses import dataclass

from lrsearch.checkpoints import Shelf
from lrsearch.keeper import Keeper
from lrsearch.study.search import Search
from lrsearch.training.setup import TaskCache


@dataclass(frozen=True, kw_only=True)
class Desk:
    """The study and what serves a worker to train for it."""

    search: Search
    cache: TaskCache
    keeper: Keeper
    shelf: Shelf
    #: Whether the process was asked to end.
    stop: Callable[[], bool]
