"""Another batch for the long run: how far the learning rate moves, by the gradient noise scale.

A batch of B samples has a mean gradient whose squared norm is |G|^2 + S / B: G is the gradient of
all samples, S the trace of the covariance of one sample's gradient. N = S / |G|^2 is the "simple"
noise scale of McCandlish et al. 2018, "An Empirical Model of Large-Batch Training".
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Protocol

from lrsearch.transfer import constants

if TYPE_CHECKING:
    from lrsearch.transfer.optimum import Optimum

#: Names of S, |G|^2 and N among the metrics of the run that measures them.
NOISE, SIGNAL, SCALE = "gradient_noise", "gradient_squared", "gradient_noise_scale"
#: Points of its progress at which that run measures them.
POINTS = 8
#: N where |G|^2 does not stand out from the noise: larger than any batch.
LARGEST_SCALE = 1e9
#: Optimizers that divide by the gradient's own size: their lr goes with the root of the factor.
ADAPTIVE = ("adam", "adamw", "nadam", "radam", "adamax", "rmsprop", "adafactor")
#: Optimizers that do not.
PLAIN = ("sgd",)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The batches of the short runs and of the long ones, in samples of an optimizer step."""

    short: int
    long: int
    #: Whether the optimizer is one of `ADAPTIVE`.
    is_adaptive: bool
    #: N, in samples; None until it is measured.
    noise_scale: float | None = None
    #: The run that measures it ended without.
    is_lost: bool = False

    @property
    def is_known(self) -> bool:
        """Whether the run that measures the noise has ended."""
        return self.noise_scale is not None or self.is_lost

    @property
    def factor(self) -> float:
        """Of the learning rate of the long runs by that of the short ones; 1 until N is known.

        (1 + N / short) / (1 + N / long), which follows for SGD from the best step of McCandlish et
        al.; the root of that for adaptive optimizers (after the square-root rule of Malladi et al.
        2022).
        """
        scale = self.noise_scale
        if scale is None:
            return 1.0
        plain = (1 + scale / self.short) / (1 + scale / self.long)
        return math.sqrt(plain) if self.is_adaptive else plain

    def refusal(self, longest: "Optimum") -> str:
        """Why the noise tells nothing of the long runs, in words; empty where it does.

        `longest` is the optimum of the longest short runs: just below a rate that diverges,
        stability limits the rate, and more samples in a batch do not raise it.
        """
        if self.is_lost:
            return "the run that measures the gradient noise diverged or failed"
        best = longest.best
        reach = best.x + constants.STEP + constants.GRID / 2
        above = [point for point in longest.points if best.x < point.x < reach]
        if not any(point.diverged for point in above):
            return ""
        return (
            f"the best lr of horizon {longest.horizon}, {best.lr:.3g}, is one step below one that "
            f"diverges, {above[0].lr:.3g}: stability limits it and not gradient noise, so no lr "
            f"for a batch of {self.long} follows; transfer without --batch-size"
        )


class Measured(Protocol):
    """A validation of the run that measures the noise."""

    @property
    def metrics(self) -> Mapping[str, float | None]: ...


def refusal(batch: Batch | None, longest: "Optimum") -> str:
    """As `Batch.refusal`; empty where the long runs have the short ones' batch."""
    return "" if batch is None else batch.refusal(longest)


def is_point(validation: int, validations: int) -> bool:
    """Whether the noise is measured at this validation, 1-based, of a run that has so many."""
    return validation * POINTS // validations > (validation - 1) * POINTS // validations


def noise_scale(rows: Sequence[Measured]) -> dict[str, float]:
    """N as the median over the validations that measured S and |G|^2, by its name.

    Empty where none did.
    """
    scales = []
    for row in rows:
        noise, signal = row.metrics.get(NOISE), row.metrics.get(SIGNAL)
        if noise is not None and signal is not None:
            scales.append(max(0.0, noise) / max(signal, noise / LARGEST_SCALE, 1e-300))
    return {SCALE: median(scales)} if scales else {}
