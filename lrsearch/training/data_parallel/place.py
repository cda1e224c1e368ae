"""Which of a trial's processes this one is."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Place:
    """A process among those of a trial, as torch.distributed counts them."""

    #: From 0 on; 0 is the worker's own process.
    rank: int
    #: Processes of a trial.
    ranks: int
