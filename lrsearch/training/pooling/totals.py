"""Losses and metrics of outputs and targets over a set, added up batch by batch."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch.utils._pytree import PyTree

from lrsearch.task.pooled import Pooled
from lrsearch.training.calibrated_loss import CalibratedLoss
from lrsearch.training.pooling.means import LOSS, Mean, Size, observed
from lrsearch.training.pooling.whole_set import Kept, OfBatches, OfKept, whole_set_metric

#: A loss, or a metric in any of its forms.
Function = Any


class Total(Protocol):
    """A loss or a metric of the samples seen so far."""

    def add(self, output: PyTree, target: PyTree, size: Size) -> None: ...
    def value(self) -> float: ...


class Totals:
    """All losses and metrics of one model."""

    def __init__(self, functions: Mapping[str, Function]) -> None:
        """The loss, where it is among them, is called LOSS."""
        self._kept: Kept | None = None
        self._totals = {
            name: self._total(name, function, is_loss=name == LOSS)
            for name, function in functions.items()
        }

    def _total(self, name: str, function: Function, *, is_loss: bool) -> Total:
        if isinstance(function, CalibratedLoss):
            return _OfPool(function)
        metric = None if is_loss else whole_set_metric(function)
        if isinstance(metric, Pooled):
            self._kept = self._kept or Kept()
            return OfKept(name, metric, self._kept)
        if metric is not None:
            return OfBatches(name, metric)
        return _OfMean(name, function, is_loss=is_loss)

    def add(self, output: PyTree, target: PyTree, size: Size) -> None:
        """A batch. Raises TaskError, and what the functions raise."""
        if self._kept is not None:
            self._kept.add(output, target)
        for total in self._totals.values():
            total.add(output, target, size)

    @property
    def means(self) -> list[Mean]:
        """What of them are means of batches."""
        return [total.mean for total in self._totals.values() if isinstance(total, _OfMean)]

    def values(self) -> dict[str, float]:
        """Raises TaskError where a metric fails, or gives no number."""
        return {name: total.value() for name, total in self._totals.items()}


class _OfMean:
    """A function of a batch's outputs and targets, a mean."""

    def __init__(self, name: str, function: Callable[..., Any], *, is_loss: bool) -> None:
        self.function, self.mean = function, Mean(name, is_loss=is_loss)
        self.value = self.mean.value

    def add(self, output: PyTree, target: PyTree, size: Size) -> None:
        value, noted = observed(lambda: self.function(output, target), size)
        self.mean.add(value, size, noted)


class _OfPool:
    """The calibrated loss."""

    def __init__(self, function: CalibratedLoss) -> None:
        self.pool = function.pool()
        self.value = self.pool.value

    def add(self, output: PyTree, target: PyTree, size: Size) -> None:
        self.pool.add(output, target, size.samples or 0)
