"""Batches for a cohort: one for each place, shared where trials stand at the same epoch."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils._pytree import PyTree

from lrsearch.training.data import Batch, Data, TensorData, epoch_order
from lrsearch.training.data.batches import leaves_of, map_tensors
from lrsearch.training.trial_training import TrialTraining

#: What is gathered at once: several small batches for the price of one, and no more than a
#: processor's second cache holds beside the weights.
AHEAD_BYTES = 2**18


class CohortBatches:
    """Batches whose tensors have a leading dimension of places.

    Trials with one seed at one epoch see one batch, which is not copied.
    """

    def __init__(self, data: Data) -> None:
        self.data = data
        self._orders: Tensor | None = None
        self._batches: Iterator[Batch] | None = None
        #: Batches that are gathered already, by their number in the epoch.
        self._ahead: dict[int, Batch] = {}

    @property
    def is_tensors(self) -> bool:
        """Whether trials may stand at different epochs: data in memory can be read in any order."""
        return isinstance(self.data, TensorData)

    def absent(self, leaf: int, value: float) -> bool:
        """Whether it is known that no batch has this value in this one of its tensors."""
        return isinstance(self.data, TensorData) and self.data.absent(leaf, value)

    def first(self, seed: int) -> Batch:
        """The first batch of a trial."""
        return next(self.data.train(seed, 0, 0))

    def forget(self) -> None:
        """A trial has come or moved."""
        self._orders = self._batches = None
        self._ahead = {}

    def next(self, places: Sequence[TrialTraining | None], count: int) -> list[Batch]:
        """The next `count` batches of every place, those of one step; free places get another's."""
        trainings = [training for training in places if training is not None]
        if trainings[0].position == 0:
            self.forget()
        first = trainings[0].position * count
        return [self._batch(places, trainings[0], first + i) for i in range(count)]

    def _batch(
        self, places: Sequence[TrialTraining | None], any_training: TrialTraining, number: int
    ) -> Batch:
        if isinstance(self.data, TensorData):
            return self._pick(self.data, places, any_training, number)
        if self._batches is None:
            epoch = _epoch(any_training)
            self._batches = self.data.train(any_training.recipe.seed, epoch, number)
        batch = next(self._batches)
        return shared(batch, len(places))

    def _pick(
        self,
        data: TensorData,
        places: Sequence[TrialTraining | None],
        any_training: TrialTraining,
        number: int,
    ) -> Batch:
        if self._orders is None:
            self._orders = _orders(data, [training or any_training for training in places])
        if number not in self._ahead:
            self._ahead = self._gather(data, self._orders, number, len(places))
        return self._ahead[number]

    def _gather(
        self, data: TensorData, orders: Tensor, first: int, places: int
    ) -> dict[int, Batch]:
        """This batch and as many that follow it in the epoch as AHEAD_BYTES hold, by number."""
        size, own = data.batch_size, orders.ndim - 1
        count = max(1, AHEAD_BYTES // (data.batch_bytes * (places if own else 1)))
        count = min(count, data.batches - first)
        index = orders[..., first * size : (first + count) * size]
        index = index.view(*index.shape[:-1], count, size).movedim(-2, 0)  # [count, (places,) size]
        picked = data.pick(index.flatten())

        def each(values: Tensor) -> Sequence[Tensor]:
            values = values.view(*index.shape, *values.shape[1:])
            if not own:
                values = values.unsqueeze(1).expand(count, places, *values.shape[1:])
            return values.unbind()

        leaves = {id(values): each(values) for values in leaves_of(picked)}
        batches = (map_tensors(lambda x: leaves[id(x)][i], picked) for i in range(count))  # noqa: B023
        return dict(enumerate(batches, first))


def _orders(data: TensorData, trainings: Sequence[TrialTraining]) -> Tensor:
    """[n] where all see the same order of the samples, else [places, n]."""
    keys = [(training.recipe.seed, _epoch(training)) for training in trainings]
    orders = {key: epoch_order(data.length, *key) for key in dict.fromkeys(keys)}
    device = data.device
    if len(orders) == 1:
        return orders[keys[0]].to(device)
    return torch.stack([orders[key] for key in keys]).to(device)


def _epoch(training: TrialTraining) -> int:
    return training.step // training.plan.steps_per_epoch


def shared(batch: PyTree, places: int) -> PyTree:
    """One batch for all places, which is not copied."""
    return map_tensors(lambda x: x.expand(places, *x.shape), batch)
