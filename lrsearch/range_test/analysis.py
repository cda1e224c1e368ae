"""LR range test: from losses along a rising learning rate to an interval of rates that train.

A ramp (Smith 2017) trains a fresh model while lr rises on a log grid. No single reading of it is
to be trusted, so several are reported, each over all seeds, and what a study uses is a window.
Everything is in torch's own lr, at the hyper-parameters and batch size of the ramp.

The window's rule was chosen on four recorded sets of random trials, of SGD and AdamW each: MLPs on
digits and on Fashion-MNIST, pixels scaled or standardised, with and without batch normalisation.
In some the best twentieth of the trials lay a decade and a half below the lr of the lowest loss, in
others beside it, up to the edge. benchmarks/range_test.py measures two of the sets: from a
hundredth of the lr of the lowest loss on, 95 to 100 % of them are inside, from a three hundredth on
all.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from lrsearch.plain_data import Document, Fields
from lrsearch.range_test.reading import Ramp, beyond_edge, decades, read, smoothed

#: Seeds asked for at first, when the first says little, and when those are far apart.
SEED_COUNTS = (1, 3, 5)
#: Seeds whose windows begin or end more decades apart are far apart.
SEEDS_APART = 0.5
#: Readings that a range test gives over its seeds.
READINGS = ("edge", "min_over_10", "valley", "steepest")


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A reading over the seeds that gave one."""

    low: float
    #: Geometric, of the two in the middle.
    median: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        found = sorted(values)
        if not found:
            return None
        middle = math.sqrt(found[(len(found) - 1) // 2] * found[len(found) // 2])
        return cls(low=found[0], median=min(max(middle, found[0]), found[-1]), high=found[-1])


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """The range test of one optimizer."""

    #: As in a recipe, without lr: what the ramps trained with.
    optimizer: Fields
    ramps: tuple[Ramp, ...]
    #: Samples of an optimizer step of the ramps; None where that is not known.
    batch_size: int | None
    edge: Spread | None
    min_over_10: Spread | None
    valley: Spread | None
    steepest: Spread | None
    #: Lowest and highest lr to search: the union of the seeds' windows. None if none was clear.
    window: tuple[float, float] | None
    #: Why there is no window.
    reason: str | None

    @property
    def name(self) -> str:
        return str(self.optimizer["name"])

    def to_dict(self) -> Document:
        """Plain JSON values, with null for a loss that is not finite."""
        return {**asdict(self), "ramps": [ramp.to_dict() for ramp in self.ramps]}

    @classmethod
    def from_dict(cls, content: Fields) -> "RangeTest":
        """The inverse of `to_dict`. Raises KeyError or TypeError for content of another kind."""
        spreads = {name: content[name] and Spread(**content[name]) for name in READINGS}
        ramps = tuple(Ramp.from_dict(ramp) for ramp in content["ramps"])
        window = content["window"] and tuple(content["window"])
        return cls(**{**content, **spreads, "ramps": ramps, "window": window})


def seeds_wanted(ramps: Sequence[Ramp]) -> int:
    """How many ramps there should be, given these: more where one says little or they differ."""
    first, second, most = SEED_COUNTS
    if not ramps:
        return first
    readings = [read(ramp) for ramp in ramps]
    if len(ramps) < second:
        return first if readings[0] is not None and not readings[0].says_little else second
    clear = [reading.window for reading in readings if reading is not None and reading.clear]
    if not clear:
        return second  # more of the same say nothing either
    apart = max(decades(min(ends), max(ends)) for ends in zip(*clear, strict=True))
    return most if len(clear) < len(ramps) or apart > SEEDS_APART else second


def judge(optimizer: Fields, ramps: Sequence[Ramp], batch_size: int | None = None) -> RangeTest:
    """All seeds' readings and the window; without a window, the reason why."""
    beyond = beyond_edge(str(optimizer["name"]))
    readings = [reading for ramp in ramps if (reading := read(ramp, beyond)) is not None]
    clear = [reading for reading in readings if reading.clear]
    window, reason = None, None
    if clear:
        lows, highs = zip(*(reading.window for reading in clear), strict=True)
        window = min(lows), max(highs)
    elif readings:
        reason = "the loss fell by less than four times the noise of its batches"
    else:
        reason = "the loss was not finite before lr could train anything"
    return RangeTest(
        optimizer=optimizer,
        ramps=tuple(ramps),
        batch_size=batch_size,
        edge=Spread.of(reading.edge for reading in readings if reading.edge is not None),
        min_over_10=Spread.of(reading.min_over_10 for reading in clear),
        valley=Spread.of(reading.valley for reading in clear),
        steepest=Spread.of(reading.steepest for reading in clear),
        window=window,
        reason=reason,
    )


def median_curve(result: RangeTest) -> tuple[list[float], list[float]]:
    """Learning rates, and the median of the smoothed losses, as far as half of the seeds went."""
    curves = [smoothed([x for x in ramp.losses if math.isfinite(x)]) for ramp in result.ramps]
    longest = sorted(len(curve) for curve in curves)[len(curves) // 2]
    lrs = max((ramp.lrs for ramp in result.ramps), key=len)[:longest]
    return list(lrs), [
        median(curve[step] for curve in curves if step < len(curve)) for step in range(longest)
    ]
