"""What a worker works with, whatever it trains."""

from collections.abc import Callable
from dataclasses import dataclass

from lrsearch.study.open_study import Search
from lrsearch.training.task_cache import TaskCache
from lrsearch.worker.checkpoints import Shelf
from lrsearch.worker.lease_renewal import Keeper


@dataclass(frozen=True, kw_only=True)
class Desk:
    """The study and what serves a worker to train for it."""

    search: Search
    cache: TaskCache
    keeper: Keeper
    shelf: Shelf
    #: Whether the process was asked to end.
    stop: Callable[[], bool]
