"""What every kind of data offers to training and to validation."""

from collections.abc import Iterator
from typing import Protocol

from lrsearch.training.data.batches import Batch


class Data(Protocol):
    """One split of a task's data."""

    #: Training batches an epoch has; the last partial one is dropped.
    batches: int

    def train(self, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        """The training batches of one epoch on the device, without the first `skip`."""
        ...

    def validation(self) -> Iterator[Batch]:
        """Every sample once, in order; or as many as the task says."""
        ...
