"""LR range test: from losses along a rising learning rate to an interval of rates that train.

A ramp (Smith 2017) trains a fresh model while lr rises on a log grid. No single reading of it is
to be trusted, so several are reported, each over all seeds, and what a study uses is a window.
Everything is in torch's own lr, at the hyper-parameters and batch size of the ramp.

The window's rule was chosen on four recorded sets of random trials, of SGD and AdamW each: MLPs on
digits and on Fashion-MNIST, pixels scaled or standardised, with and without batch normalisation.
In some the best twentieth of the trials lay a decade and a half below the lr of the lowest loss, in
others beside it, up to the edge: two decades and more hold 94 to 100 % of them in each. The 1.5
decades about the geometric mean of min/10 and valley, right for two of the sets, held 10 % of them
in another. benchmarks/range_test.py measures two of the sets.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean, median, pstdev

from lrsearch.plain_data import Document, Fields
from lrsearch.trial.divergence import above
from lrsearch.trial.rounding import ceil

#: lr rises by this factor each step: 16 steps a decade.
FACTOR = 1.15
#: Decay of the smoothed loss, a mean over about ten steps.
SMOOTHING = 0.9
#: The edge is read from a running median of so many losses: one batch is no edge.
MEDIAN_STEPS = 5
#: lr hardly trains yet in so many first steps: their mean loss is the start that others are
#: compared with.
START_STEPS = 10
#: A ramp ends when so many losses in a row stand above this multiple of the start (fastai's 4).
STOP_STEPS, STOP_MULTIPLE = 3, 4.0
#: The edge is where the loss has climbed back by this share of its fall.
EDGE_SHARE = 0.5
#: The window reaches so far below and above the lr of the lowest loss, but not beyond the edge,
BELOW_LOWEST, ABOVE_LOWEST = 100.0, 2.0
#: and is no narrower than this.
LEAST_WIDTH = 10.0
#: A fall counts where it is so many standard deviations of the batches' losses. It was 2.7 to 7.8
#: where windows held; of noise alone it is below in all but one case of a thousand.
CLEAR_FALL = 2.0
#: Seeds asked for at first, when the first says little, and when those are far apart.
SEED_COUNTS = (1, 3, 5)
#: A ramp whose min/10 and valley are more decades apart says little: between seeds of one task
#: they move by 0.05 to 0.2.
READINGS_APART = 1.0
#: Seeds whose windows begin or end more decades apart are far apart.
SEEDS_APART = 0.5
#: Readings that a range test gives over its seeds.
READINGS = ("edge", "min_over_10", "valley", "steepest")


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """One seed's losses."""

    seed: int
    #: Rising by FACTOR.
    lrs: tuple[float, ...]
    #: Of each batch; the last may be infinite.
    losses: tuple[float, ...]

    def to_dict(self) -> Document:
        losses = [loss if math.isfinite(loss) else None for loss in self.losses]
        return {**asdict(self), "losses": losses}

    @classmethod
    def from_dict(cls, content: Fields) -> "Ramp":
        losses = tuple(math.inf if loss is None else loss for loss in content["losses"])
        return cls(**{**content, "lrs": tuple(content["lrs"]), "losses": losses})


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one ramp says, in lr."""

    #: Where the loss climbs again or leaves the finite; None if it does neither within the ramp.
    edge: float | None
    #: A tenth of the lr with the lowest smoothed loss.
    min_over_10: float
    #: In the middle of the longest decreasing run of the smoothed loss (fastai's `valley`). It
    #: moves with the lr at which the ramp starts, so that it has no part in the window.
    valley: float
    #: Where the smoothed loss falls fastest in log lr. It moves by up to a decade between seeds.
    steepest: float
    #: What to search.
    window: tuple[float, float]
    #: Whether the loss fell by more than the noise of its batches.
    clear: bool

    @property
    def says_little(self) -> bool:
        return not self.clear or _decades(self.valley, self.min_over_10) > READINGS_APART


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


def grid(low: float, high: float) -> tuple[float, ...]:
    """Learning rates from `low` by FACTOR to `high` or just beyond."""
    steps = 1 + ceil(math.log(high / low) / math.log(FACTOR))
    return tuple(low * FACTOR**step for step in range(steps))


def has_ended(losses: Sequence[float]) -> bool:
    """Whether a ramp with these losses so far need not go on: it diverged."""
    if losses and not math.isfinite(losses[-1]):
        return True
    last = losses[START_STEPS:][-STOP_STEPS:]
    return len(last) == STOP_STEPS and min(last) > above(_start(losses), STOP_MULTIPLE)


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
    apart = max(_decades(min(ends), max(ends)) for ends in zip(*clear, strict=True))
    return most if len(clear) < len(ramps) or apart > SEEDS_APART else second


def judge(optimizer: Fields, ramps: Sequence[Ramp], batch_size: int | None = None) -> RangeTest:
    """All seeds' readings and the window; without a window, the reason why."""
    readings = [reading for ramp in ramps if (reading := read(ramp)) is not None]
    clear = [reading for reading in readings if reading.clear]
    window, reason = None, None
    if clear:
        lows, highs = zip(*(reading.window for reading in clear), strict=True)
        window = min(lows), max(highs)
    elif readings:
        reason = "the loss fell by less than twice the noise of its batches"
    else:
        reason = "the loss was not finite before lr could train anything"
    return RangeTest(
        optimizer=optimizer,
        ramps=tuple(ramps),
        batch_size=batch_size,
        edge=Spread.of(reading.edge for reading in clear if reading.edge is not None),
        min_over_10=Spread.of(reading.min_over_10 for reading in clear),
        valley=Spread.of(reading.valley for reading in clear),
        steepest=Spread.of(reading.steepest for reading in clear),
        window=window,
        reason=reason,
    )


def read(ramp: Ramp) -> Reading | None:
    """What a ramp says; None if it left the finite before lr could train anything."""
    losses = [loss for loss in ramp.losses if math.isfinite(loss)]
    if len(losses) <= START_STEPS:
        return None
    curve = smoothed(losses)
    lowest = curve.index(min(curve[START_STEPS:]), START_STEPS)
    before = zip(losses[: lowest + 1], curve, strict=False)
    noise = pstdev(loss - mean for loss, mean in before)
    edge = _edge(ramp)
    min_over_10, valley = ramp.lrs[lowest] / 10, ramp.lrs[_valley(curve[: lowest + 1])]
    high = min(ABOVE_LOWEST * ramp.lrs[lowest], edge or math.inf, ramp.lrs[-1])
    low = min(ramp.lrs[lowest] / BELOW_LOWEST, high / LEAST_WIDTH)
    return Reading(
        edge=edge,
        min_over_10=min_over_10,
        valley=valley,
        steepest=ramp.lrs[_steepest(curve, lowest)],
        window=(max(low, ramp.lrs[0]), high),
        clear=_start(losses) - curve[lowest] > CLEAR_FALL * noise,
    )


def smoothed(losses: Sequence[float]) -> list[float]:
    """Exponential moving average with its bias corrected, one value per step."""
    result, average = [], 0.0
    for step, loss in enumerate(losses, start=1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        result.append(average / (1 - SMOOTHING**step))
    return result


def median_curve(result: RangeTest) -> tuple[list[float], list[float]]:
    """Learning rates, and the median of the smoothed losses, as far as half of the seeds went."""
    curves = [smoothed([x for x in ramp.losses if math.isfinite(x)]) for ramp in result.ramps]
    longest = sorted(len(curve) for curve in curves)[len(curves) // 2]
    lrs = max((ramp.lrs for ramp in result.ramps), key=len)[:longest]
    return list(lrs), [
        median(curve[step] for curve in curves if step < len(curve)) for step in range(longest)
    ]


def _start(losses: Sequence[float]) -> float:
    return fmean(losses[:START_STEPS])


def _edge(ramp: Ramp) -> float | None:
    """The lr at which the running median has climbed back by EDGE_SHARE of its fall."""
    reach = MEDIAN_STEPS // 2
    steps = range(len(ramp.losses))
    curve = [median(ramp.losses[max(0, i - reach) : i + reach + 1]) for i in steps]
    bottom = min(curve)
    limit = bottom + EDGE_SHARE * (_start(ramp.losses) - bottom)
    climbed = (i for i in steps if i > curve.index(bottom) and not curve[i] <= limit)
    found = next(climbed, None)
    if found is None and not math.isfinite(ramp.losses[-1]):
        found = len(ramp.losses) - 1
    return None if found is None else ramp.lrs[found]


def _valley(curve: Sequence[float]) -> int:
    """fastai's rule: half-way through the longest decreasing subsequence of the curve."""
    length = [1] * len(curve)
    end = 0
    for i in range(1, len(curve)):
        length[i] = 1 + max((length[j] for j in range(i) if curve[j] > curve[i]), default=0)
        end = i if length[i] > length[end] else end
    return end - length[end] // 2


def _steepest(curve: Sequence[float], lowest: int) -> int:
    """The grid is even in log lr, so that differences between steps compare."""
    falls = [before - after for before, after in pairwise(curve[START_STEPS : lowest + 1])]
    return START_STEPS + falls.index(max(falls)) if falls else lowest


def _decades(a: float, b: float) -> float:
    return abs(math.log10(b / a))
