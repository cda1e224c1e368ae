"""What a step reads that changes from step to step, in memory that stays where it is.

A captured step repeats the same operations on the same memory. So the number of the step, the order
of the samples and the hyperparameters are on the device, and the step reads its own part of them.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import default_collate

from lrsearch.training.data import Batch, Data, TensorData
from lrsearch.training.data.batches import kinds_of, leaves_of, map_tensors
from lrsearch.training.data.datasets import DatasetData, LoaderData
from lrsearch.training.failures import CohortError
from lrsearch.training.fused.batches import shared
from lrsearch.training.graphed.ahead import Ahead
from lrsearch.training.graphed.updates import MOST_COLUMNS
from lrsearch.training.trial_training import TrialTraining

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

    def fill(self, training: TrialTraining, ahead: int) -> None:
        """The step finds its samples by itself."""

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


class Fed:
    """The batch of a step, which all places have alike, copied to where the step reads it."""

    def __init__(self, data: Data, size: int, first: Batch, accumulate: int) -> None:
        """`first` is a batch like all others; of `accumulate` a step is made."""
        self.data, self.accumulate, self._size = data, accumulate, size
        self._static = [map_tensors(torch.empty_like, first) for _ in range(accumulate)]
        self._batches: Iterator[Batch] = iter(())
        #: Seed, epoch, and number in it, of the batch that comes next.
        self._next: tuple[int, int, int] | None = None

    def fill(self, training: TrialTraining, ahead: int) -> None:
        """Take the batches of the step that comes so many after where the trial stands.

        Raises what the task's data do, and CohortError where a batch has another shape.
        """
        epoch, position = divmod(training.step + ahead, training.plan.steps_per_epoch)
        place = (training.recipe.seed, epoch, position * self.accumulate)
        if place != self._next:
            self._batches = self.data.train(*place)
        for static in self._static:
            batch = next(self._batches)
            if kinds_of(batch) != kinds_of(static):
                raise CohortError("a batch has another shape than the first")
            for mine, given in zip(leaves_of(static), leaves_of(batch), strict=True):
                mine.copy_(given, non_blocking=True)
        self._next = (*place[:2], place[2] + self.accumulate)

    def batch(self, step: Tensor, number: int) -> Batch:
        """The micro-batch `number` of the step; a leading dimension of places."""
        return shared(self._static[number], self._size)


def not_static(data: Data, first: Batch) -> str | None:
    """Why the data's batches cannot lie in memory that stays; None if they can.

    Those of tensors and of a Dataset, collated as torch does by default, have one shape.
    """
    if isinstance(data, TensorData):
        return None
    collates = isinstance(data, LoaderData) and data.reader.fetch.collate is not default_collate
    if collates or not isinstance(data, LoaderData | DatasetData):
        return "the training data may give batches of several shapes"
    if not all(isinstance(leaf, Tensor) for leaf in leaves_of(first)):
        return "the training data give more than tensors"
    return None


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
