"""One ramp of the LR range test: when it ends, and what its losses say.

All of it is pure: from the losses of a ramp, in torch's own lr, at the hyper-parameters and batch
size of the ramp.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import median, pstdev

from lrsearch.plain_data import Document, Fields
from lrsearch.trial.divergence import above, divergence_limit

#: lr rises by this factor each step: 9 steps a decade.
FACTOR = 1.3
#: Decay of the smoothed loss, a mean over about three steps: at twice the factor per step a longer
#: one would lag by more than a decade.
SMOOTHING = 0.7
#: The edge is read from a running median of so many losses: one batch is no edge.
MEDIAN_STEPS = 3
#: lr hardly trains yet in so many first steps: their median is the start that others are
#: compared with.
START_STEPS = 5
#: A ramp ends when most of so many last losses stand above this multiple of the lowest smoothed
#: loss, and above half of the way back to the start.
STOP_STEPS, STOP_MULTIPLE = 5, 2.0
#: One loss at this multiple of the start is an edge by itself: a network may die of one step, and
#: its loss is then no longer high.
BURST_MULTIPLE = 100.0
#: The edge is where the loss has climbed back by this share of its fall.
EDGE_SHARE = 0.5
#: So much of the whole fall counts as having fallen.
MOST_OF_FALL = 2 / 3
#: Rates above this multiple of the edge are not searched: a ramp passes each lr once, so that its
#: loss climbs later than it would in training. Of the portfolio's recipes on its seventeen tasks,
#: edges of three seeds, 13 of SGD lay above it: 12 were worse than a median draw, and without them
#: the regret after three, five and ten recipes is no larger.
BEYOND_EDGE = 2.0
#: The same of optimizers that divide the gradient by its size: a schedule that rises slowly stands
#: up to ten times the edge. Without the recipes of AdamW and RMSprop above twice the edge the
#: regret after five recipes is .095, above four times .090, with all of them .084.
BEYOND_EDGE_SCALED = 10.0
#: Optimizers whose step is as long as lr times the gradient.
PLAIN_STEP = ("sgd", "asgd")
#: The window reaches so far below the lr of the lowest loss,
BELOW_LOWEST = 300.0
#: and is no narrower than this.
LEAST_WIDTH = 10.0
#: A fall counts where it is so many standard deviations of the batches' losses; of noise alone it
#: is in one of 1,000 cases (made-up ramps).
CLEAR_FALL = 4.0
#: The noise is that of so many losses at least, as far as the fall goes.
NOISE_STEPS = 15
#: A ramp whose min/10 and valley are more decades apart says little: between seeds of one task
#: they move by 0.05 to 0.2.
READINGS_APART = 1.0


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
        return not self.clear or decades(self.valley, self.min_over_10) > READINGS_APART


def grid(low: float, steps: int) -> tuple[float, ...]:
    """So many learning rates from `low`, each FACTOR times the one before."""
    return tuple(low * FACTOR**step for step in range(steps))


def has_ended(losses: Sequence[float]) -> bool:
    """Whether a ramp with these losses so far need not go on: it diverged."""
    if losses and (not math.isfinite(losses[-1]) or _bursts_at_once(losses)):
        return True
    if len(losses) < START_STEPS + STOP_STEPS // 2 + 1:
        return False
    bottom = min(smoothed(losses))
    limit = max(above(bottom, STOP_MULTIPLE), _half_way(losses, bottom))
    high = sum(loss > limit for loss in losses[START_STEPS:][-STOP_STEPS:])
    return 2 * high > STOP_STEPS


def starts_too_high(ramp: Ramp) -> bool:
    """Whether it diverged in its first steps: the edge lies below them.

    A ramp from lower rates then finds it.
    """
    return _bursts_at_once(ramp.losses)


def _bursts_at_once(losses: Sequence[float]) -> bool:
    limit = divergence_limit(losses[0])
    return not all(loss <= limit for loss in losses[: START_STEPS + 1])


def beyond_edge(optimizer: str) -> float:
    """The multiple of its edge above which an optimizer's rates are not searched."""
    return BEYOND_EDGE if optimizer in PLAIN_STEP else BEYOND_EDGE_SCALED


def read(ramp: Ramp, beyond: float = BEYOND_EDGE) -> Reading | None:
    """What a ramp says; None if it left the finite before lr could train anything.

    The window reaches to `beyond` times the edge.
    """
    losses = [loss for loss in ramp.losses if math.isfinite(loss)]
    if len(losses) <= START_STEPS:
        return None
    curve = smoothed(losses)
    lowest = curve.index(min(curve[START_STEPS:]), START_STEPS)
    noise = _noise(losses, curve, lowest)
    clear = _start(losses) - curve[lowest] > CLEAR_FALL * noise
    edge = _edge(ramp, CLEAR_FALL * noise if clear else None)
    min_over_10, valley = ramp.lrs[lowest] / 10, ramp.lrs[_valley(curve[: lowest + 1])]
    high = ramp.lrs[-1] if edge is None else beyond * edge
    low = min(ramp.lrs[lowest] / BELOW_LOWEST, high / LEAST_WIDTH)
    return Reading(
        edge=edge,
        min_over_10=min_over_10,
        valley=valley,
        steepest=ramp.lrs[_steepest(curve, lowest)],
        window=(max(low, ramp.lrs[0]), high),
        clear=clear,
    )


def smoothed(losses: Sequence[float]) -> list[float]:
    """Exponential moving average with its bias corrected, one value per step."""
    result, average = [], 0.0
    for step, loss in enumerate(losses, start=1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        result.append(average / (1 - SMOOTHING**step))
    return result


def _start(losses: Sequence[float]) -> float:
    return median(losses[:START_STEPS])


def _noise(losses: Sequence[float], curve: Sequence[float], lowest: int) -> float:
    """Of the batches' losses about their mean while they fall.

    What comes after most of the fall may be a chaos that is no noise.
    """
    deep = _start(losses) - MOST_OF_FALL * (_start(losses) - curve[lowest])
    fallen = next(i for i in range(START_STEPS, lowest + 1) if curve[i] <= max(deep, curve[lowest]))
    end = max(fallen, min(lowest, NOISE_STEPS)) + 1
    return pstdev(loss - mean for loss, mean in zip(losses[:end], curve, strict=False))


def _half_way(losses: Sequence[float], bottom: float) -> float:
    """The loss at which EDGE_SHARE of the fall is climbed back."""
    return bottom + EDGE_SHARE * (_start(losses) - bottom)


def _running_median(losses: Sequence[float]) -> list[float]:
    reach = MEDIAN_STEPS // 2
    return [median(losses[max(0, i - reach) : i + reach + 1]) for i in range(len(losses))]


def _edge(ramp: Ramp, least: float | None) -> float | None:
    """The lr at which the running median has climbed back by EDGE_SHARE of its fall so far.

    It has fallen enough for that where it has done MOST_OF_FALL of its whole fall, and a climb is
    at least `least`. Where that is None, since it did not fall clearly, the lr at which it is
    STOP_MULTIPLE times its start.
    """
    start = _start(ramp.losses)
    curve = _running_median(ramp.losses)
    deep = start - MOST_OF_FALL * (start - min(curve))
    lowest = math.inf
    for lr, loss, middle in zip(ramp.lrs, ramp.losses, curve, strict=True):
        lowest = min(lowest, middle)
        limit = above(start, STOP_MULTIPLE)
        if least is not None and lowest <= deep:
            limit = lowest + max(EDGE_SHARE * (start - lowest), least)
        if not (middle <= limit and loss <= above(start, BURST_MULTIPLE)):
            return lr
    return None


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


def decades(a: float, b: float) -> float:
    return abs(math.log10(b / a))
