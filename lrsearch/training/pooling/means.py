"""The mean of a loss or of a metric over a set, from its values in batches."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrsearch.errors import TaskError
from lrsearch.training.data import tensors_in
from lrsearch.training.pooling.observed import Noted, Observed
from lrsearch.training.precision import widest_float

log = logging.getLogger("lrsearch")

#: What a validation's loss is called among its values.
LOSS = "val_loss"
#: What a loss or a metric gives: a number, or a sum and the count of what it sums over.
Value = Any
#: A number, or a tensor of one that stays on its device until it is needed.
Scalar = Tensor | float
#: Kinds of device whose numbers are read at once: nothing is waited for.
READ_AT_ONCE = frozenset({"cpu"})


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a batch is."""

    #: The leading dimension of its targets, or that which all its tensors share; None: unknown.
    samples: int | None
    #: Numbers in its targets; None where targets are not told from inputs.
    entries: int | None = None

    @property
    def weight(self) -> int | None:
        """What a mean weighs of which is not known what it is over.

        Numbers in the targets: time-major targets [T, B] weigh by samples, padded ones by length.
        """
        return self.samples if self.entries is None else self.entries


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A batch's part in a mean."""

    value: float
    #: What the value is a mean over; None: not known.
    count: float | None
    #: `value` times `count` as it was given, where it was.
    total: float | None
    size: Size

    @property
    def is_empty(self) -> bool:
        return (self.size.weight if self.count is None else self.count) == 0


@dataclass(kw_only=True)
class _Added:
    """What a batch gave."""

    number: Scalar
    #: As in _Part.
    count: Scalar | None
    #: Whether the number is a sum over the count, not a mean.
    is_total: bool
    size: Size

    def part(self) -> _Part:
        number, count = float(self.number), None if self.count is None else float(self.count)
        if not self.is_total:
            return _Part(value=number, count=count, total=None, size=self.size)
        mean = number / count if count else math.nan
        return _Part(value=mean, count=count, total=number, size=self.size)


class Mean:
    """The mean over a set: what all batches have summed over what they have summed over.

    Exactly so where it is known of every batch, from `(sum, count)` or from the reductions of torch
    that the function calls; else the batches' values weighted by their sizes. A batch with nothing
    to count, such as one without a valid label, counts for nothing.
    """

    def __init__(self, name: str, *, is_loss: bool = False) -> None:
        """Of a metric NaN in a batch is left out, as torchmetrics' aggregators do by default."""
        self.name, self.is_loss = name, is_loss
        self._added: list[_Added] = []

    def add(self, value: Value, size: Size, noted: Noted | None = None) -> None:
        """Raises TaskError for what is no number, or of which the weight cannot be told."""
        if isinstance(value, tuple):
            self._added.append(self._of_pair(value, size))
            return
        number = self._number(value)
        if noted is None:
            if size.weight is None:
                raise TaskError(
                    f"{self.name} is a number, but how many samples a batch has cannot be told "
                    f"from it; return (sum, count)"
                )
            self._added.append(_Added(number=number, count=None, is_total=False, size=size))
        elif noted.count is None:  # a sum over the batch's samples
            if not size.samples:
                raise TaskError(
                    f"{self.name} is a sum over a batch, but how many samples a batch has cannot "
                    f"be told from it; return (sum, count)"
                )
            count = float(size.samples)
            self._added.append(_Added(number=number, count=count, is_total=True, size=size))
        else:
            counted = self._number(noted.count)
            self._added.append(_Added(number=number, count=counted, is_total=False, size=size))

    def _of_pair(self, pair: tuple[Value, ...], size: Size) -> _Added:
        if len(pair) != 2:
            raise TaskError(f"{self.name} is a tuple of {len(pair)}, but (sum, count) is needed")
        total, count = map(self._number, pair)
        return _Added(number=total, count=count, is_total=True, size=size)

    def _number(self, value: Value) -> Scalar:
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise TaskError(
                    f"{self.name} is a tensor of shape {tuple(value.shape)}, but a number or "
                    f"(sum, count) is needed; take its mean, or give (its sum, its numel())"
                )
            if value.device.type not in READ_AT_ONCE and not value.is_complex():
                return value.detach().reshape(())
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise TaskError(
                f"{self.name} is {type(value).__name__}, but a number or (sum, count) is needed"
            ) from error

    def waiting(self) -> list[Tensor]:
        """Numbers that are still on their device."""
        given = [scalar for added in self._added for scalar in (added.number, added.count)]
        return [scalar for scalar in given if isinstance(scalar, Tensor)]

    def take(self, numbers: Iterator[float]) -> None:
        """What `waiting` has given, read."""
        for added in self._added:
            if isinstance(added.number, Tensor):
                added.number = next(numbers)
            if isinstance(added.count, Tensor):
                added.count = next(numbers)

    def value(self) -> float:
        """NaN where no batch has counted."""
        parts = [added.part() for added in self._added]
        parts = [part for part in parts if not part.is_empty]
        if not self.is_loss:
            parts = self._without_nan(parts)
        if not parts:
            return math.nan
        counts = [part.count for part in parts if part.count is not None]
        if len(counts) < len(parts):  # of some batches it is not known
            counts = [float(part.size.weight or 0) for part in parts]
            return _weighted(parts, counts, given=False)
        return _weighted(parts, counts, given=True)

    def _without_nan(self, parts: Sequence[_Part]) -> list[_Part]:
        kept = [part for part in parts if not math.isnan(part.value)]
        if kept and len(kept) < len(parts):
            log.warning(
                "metric %s is NaN in %d of %d validation batches, which are left out",
                self.name,
                len(parts) - len(kept),
                len(parts),
            )
        return kept


def _weighted(parts: Sequence[_Part], counts: Sequence[float], *, given: bool) -> float:
    """The mean of parts with these counts; `given`: totals that came with counts are used."""
    samples = [part.size.samples for part in parts]
    if not any(part.total is not None for part in parts) and _proportional(counts, samples):
        total, whole = 0.0, 0
        for part, size in zip(parts, samples, strict=True):
            total += part.value * (size or 0)  # the sizes are smaller numbers, which round less
            whole += size or 0
        return total / whole
    total = 0.0
    for part, count in zip(parts, counts, strict=True):
        total += part.total if given and part.total is not None else part.value * count
    return total / sum(counts)


def _proportional(counts: Sequence[float], samples: Sequence[int | None]) -> bool:
    if not samples[0] or not counts[0]:
        return False
    return all(
        size is not None and count * samples[0] == counts[0] * size
        for count, size in zip(counts, samples, strict=True)
    )


def read_all(means: Sequence[Mean]) -> None:
    """Read what is on a device of all of these at once: it is waited for once."""
    waiting = [scalar for mean in means for scalar in mean.waiting()]
    if waiting:
        wide = widest_float(waiting[0].device)
        numbers = iter(torch.stack([scalar.to(wide) for scalar in waiting]).tolist())
        for mean in means:
            mean.take(numbers)


def observed(call: Callable[[], Value], size: Size) -> tuple[Value, Noted | None]:
    """What a call gives, and what it is a mean over where that can be seen."""
    with Observed(size.samples, size.entries) as seen:
        value = call()
    return value, seen.of(value)


def pair_size(targets: Any, samples: int) -> Size:
    """Of a batch of inputs and targets."""
    entries = next((t.numel() for t in tensors_in(targets) if t.ndim), None)
    return Size(samples=samples, entries=entries)


def valid_labels(labels: Any) -> Size:
    """Of a batch whose model computes its own loss: labels that are not ignored (-100)."""
    if not isinstance(labels, Tensor) or not labels.ndim:
        return Size(samples=None)
    is_class = not (labels.is_floating_point() or labels.dtype == torch.bool)
    entries = int((labels != -100).sum()) if is_class else labels.numel()
    return Size(samples=len(labels), entries=entries)
