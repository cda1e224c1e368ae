"""What a step reads that changes from step to step, in memory that stays where it is.

A captured step repeats the same operations on the same memory. So the number of the step, the order
of the samples and the hyperparameters are on the device, and the step reads its own part of them.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from lrsearch.training.data import Batch, TensorData
from lrsearch.training.data.batches import map_tensors
from lrsearch.training.graphed.ahead import Ahead
from lrsearch.training.graphed.updates import MOST_COLUMNS

#: Steps whose hyperparameters and losses have a place; the host looks at them no later than that.
WINDOW = 512


class Order:
    """The samples of each place's batches in its epoch."""

    def __init__(self, data: TensorData, size: int, steps: int, accumulate: int) -> None:
        """`steps` of an epoch, each of `accumulate` batches."""
        self.data, self.accumulate = data, accumulate
        length = steps * accumulate * data.batch_size
        #: Numbers of samples, [K, n].
        self.samples = torch.zeros(size, length, dtype=torch.int64, device=data.device)
        self._within = torch.arange(data.batch_size, device=data.device)
        self._host = torch.zeros(size, length, dtype=torch.int64, pin_memory=_pins(data.device))

    def write(self, orders: Sequence[Tensor]) -> None:
        """Those of the places."""
        for place, order in enumerate(orders):
            self._host[place].copy_(order[: self._host.shape[1]])
        self.samples.copy_(self._host, non_blocking=True)

    def batch(self, step: Tensor, number: int) -> Batch:
        """The micro-batch `number` of the step [1] of the epoch; a leading dimension of places."""
        size = self.data.batch_size
        within = (step * self.accumulate + number) * size + self._within
        chosen = self.samples.index_select(1, within)
        picked = self.data.pick(chosen.flatten())
        return map_tensors(lambda x: x.view(*chosen.shape, *x.shape[1:]), picked)


class Table:
    """Columns of each place and piece of a row in each step of a window, and its loss sums."""

    def __init__(self, size: int, pieces: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (WINDOW, pieces, size, MOST_COLUMNS)
        # A place without a trial has ones: its numbers mean nothing, and stay finite.
        self._host = torch.ones(shape, dtype=dtype, pin_memory=_pins(device))
        self.values = torch.ones(shape, dtype=dtype, device=device)

    def write(self, first: int, count: int, parts: Iterable[tuple[Ahead, Sequence[int]]]) -> None:
        """The steps from `first` on, of each trial with the parameter group of each piece.

        Computed in float64, rounded to the weights' type once.
        """
        rows = slice(first, first + count)
        for ahead, groups in parts:
            place = ahead.member.training.place
            values = [ahead.table(group) for group in range(len(ahead.columns))]
            for piece, group in enumerate(groups):
                self._host[rows, piece, place, : values[group].shape[1]] = values[group]
        self.values[rows].copy_(self._host[rows], non_blocking=True)

    def columns(self, step: Tensor) -> Tensor:
        """Those of the step [1] of the window: [pieces, K, columns]."""
        return self.values.index_select(0, step)[0]


def _pins(device: torch.device) -> bool:
    """Whether memory of the host is to be pinned, so that a copy need not be waited for."""
    return device.type == "cuda"
