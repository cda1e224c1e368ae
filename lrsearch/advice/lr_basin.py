"""How loss depends on the learning rate: a smooth curve through trials, and where it is low.

Intervals hold 95 % of the curves that the trials leave likely (`likely_curves`).

Measured on 60 sets each of 15 to 100 trials over 4 decades, with noise of 8 % and every tenth loss
doubled (benchmarks/lr_basin.py): on a parabola, and on a slope that ends at a wall, the interval of
the width at +5 % holds it in 92 to 100 % of the sets; on a flat bottom before a wall in 3 to 50 %,
where the width is told too small.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrsearch.advice.likely_curves import Floats, likely_curves

#: Fewer trials than this, or at fewer learning rates, have no curve.
LEAST_TRIALS, LEAST_RATES = 8, 5
#: More trials are summed up in so many groups of neighbouring learning rates.
MOST_POINTS = 120
#: Weight of a guessed loss: that of a measured one with twice the noise.
GUESS = 0.25
#: Where the curve is told, evenly spread in log lr.
GRID = 81
#: How much worse than the lowest loss a safe learning rate may be.
SMALL, LARGE = 0.01, 0.05
#: The curve is fitted again to the trials where the first one is at most so much worse than its
#: lowest, but to no fewer than so many: a wall of ten times the loss would else bend the bottom. If
#: the safe learning rates do not end among these, the next share is taken.
NEAR, LEAST_NEAR = (0.5, 2.0, math.inf), 12
#: Shares of the draws below and above an interval.
TAILS = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Safe:
    """The learning rates around the best one whose loss is at most so much worse."""

    #: 0.05 for 5 %.
    worse: float
    low: float
    high: float
    #: Whether the range ends where the trials do, and may go on.
    open_low: bool
    open_high: bool
    #: Its width in decades.
    decades: Interval


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """What a trial at this learning rate typically loses."""

    lr: float
    loss: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Basin:
    """The curve of one optimizer's trials."""

    trials: int
    curve: tuple[CurvePoint, ...]
    #: Where the curve is lowest.
    best: Interval
    #: At SMALL and at LARGE.
    safe: tuple[Safe, Safe]


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """Losses as the curve is fitted: their logarithm where all are above 0, standardised."""

    logarithmic: bool
    middle: float
    spread: float

    @classmethod
    def of(cls, losses: Floats) -> "_Scale":
        logarithmic = bool(losses.min() > 0)
        inner = np.log(losses) if logarithmic else losses
        quartiles = np.quantile(inner, (0.25, 0.5, 0.75))
        spread = float(quartiles[2] - quartiles[0]) or float(np.std(inner)) or 1.0
        return cls(logarithmic=logarithmic, middle=float(quartiles[1]), spread=spread)

    def inner(self, losses: Floats) -> Floats:
        plain = np.log(losses) if self.logarithmic else losses
        return (plain - self.middle) / self.spread

    def loss(self, inner: Floats) -> Floats:
        plain = inner * self.spread + self.middle
        return np.exp(plain) if self.logarithmic else plain


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """Where curves are told, those that are likely there, and the scale that these are on."""

    grid: Floats
    draws: Floats
    scale: _Scale

    @property
    def mean(self) -> Floats:
        return np.asarray(self.draws.mean(axis=0), float)


def fit_basin(
    lrs: Sequence[float], losses: Sequence[float], guessed: Sequence[bool] = ()
) -> Basin | None:
    """The basin of trials with these learning rates, above 0, and finite losses.

    `guessed` tells whose losses were not measured, and count less; none where it is empty. None for
    fewer than LEAST_TRIALS, or fewer than LEAST_RATES different learning rates. Equal trials give
    an equal basin.
    """
    if len(lrs) < LEAST_TRIALS or len(set(lrs)) < LEAST_RATES:
        return None
    x, y = np.log10(np.asarray(lrs, float)), np.asarray(losses, float)
    weights = np.where(guessed, GUESS, 1.0) if len(guessed) else np.ones(len(x))
    first = _fit(x, y, weights)
    found = [_near(x, first, share) for share in NEAR]
    wide_enough = [near for near in found if len(np.unique(x[near])) >= LEAST_RATES]
    for near in wide_enough[:-1]:
        fit = _fit(x[near], y[near], weights[near])
        basin = _basin(int(near.sum()), fit)
        low, high = basin.safe[1].open_low, basin.safe[1].open_high
        if not (low and fit.grid[0] > x.min()) and not (high and fit.grid[-1] < x.max()):
            return basin
    return _basin(len(x), first)


def _basin(trials: int, fit: _Fit) -> Basin:
    grid, draws, scale = fit.grid, fit.draws, fit.scale
    mean = fit.mean
    safe = [_safe(grid, mean, draws, scale, worse) for worse in (SMALL, LARGE)]
    low, high = map(scale.loss, np.quantile(draws, TAILS, axis=0))
    return Basin(
        trials=trials,
        curve=tuple(
            CurvePoint(lr=float(10**a), loss=float(b), low=float(c), high=float(d))
            for a, b, c, d in zip(grid, scale.loss(mean), low, high, strict=True)
        ),
        best=_interval(_lowest(grid, mean[None])[0], _lowest(grid, draws)),
        safe=(safe[0], safe[1]),
    )


def _fit(x: Floats, y: Floats, weights: Floats) -> _Fit:
    scale = _Scale.of(y)
    grid = np.linspace(x.min(), x.max(), GRID)
    draws = likely_curves(*_grouped(x, scale.inner(y), weights), grid)
    return _Fit(grid=grid, draws=draws, scale=scale)


def _near(x: Floats, fit: _Fit, worse: float) -> NDArray[np.bool_]:
    """Which trials lie where the curve is at most so much worse than its lowest."""
    step = fit.grid[1] - fit.grid[0]
    reach = _reach(fit.mean, fit.scale, worse)
    first, last = (float(fit.grid[0] + step * place) for place in reach)
    apart = np.maximum(np.maximum(first - x, x - last), 0)
    enough = np.sort(apart)[min(len(x), LEAST_NEAR) - 1]
    return np.asarray(apart <= enough, bool)


def _grouped(x: Floats, y: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Learning rate, loss and weight of at most MOST_POINTS groups; of each the medians."""
    order = np.argsort(x, kind="stable")
    if len(x) <= MOST_POINTS:
        return x[order], y[order], weights[order]
    groups = np.array_split(order, MOST_POINTS)
    return (
        np.array([np.median(x[group]) for group in groups]),
        np.array([np.median(y[group]) for group in groups]),
        np.array([weights[group].sum() for group in groups]),
    )


def _lowest(grid: Floats, curves: Floats) -> Floats:
    """The learning rate at which each curve, a row, is lowest: between the places of the grid."""
    place = np.clip(curves.argmin(axis=1), 1, len(grid) - 2)
    rows = np.arange(len(curves))
    before, at, after = (curves[rows, place + step] for step in (-1, 0, 1))
    bend = before - 2 * at + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros_like(bend), where=bend > 0)
    return np.asarray(10 ** (grid[place] + np.clip(shift, -1, 1) * (grid[1] - grid[0])), float)


def _safe(grid: Floats, mean: Floats, draws: Floats, scale: _Scale, worse: float) -> Safe:
    first, last = _reach(mean, scale, worse)
    spans = [_reach(draw, scale, worse) for draw in draws]
    step = float(grid[1] - grid[0])
    widths = np.array([step * (end - begin) for begin, end in spans])
    return Safe(
        worse=worse,
        low=float(10 ** (grid[0] + step * first)),
        high=float(10 ** (grid[0] + step * last)),
        open_low=first <= 0,
        open_high=last >= GRID - 1,
        decades=_interval(step * (last - first), widths),
    )


def _reach(curve: Floats, scale: _Scale, worse: float) -> tuple[float, float]:
    """Between which places of the grid, around its lowest, a curve is at most so much worse."""
    loss = scale.loss(curve)
    lowest = int(loss.argmin())
    limit = loss[lowest] + (worse * abs(loss[lowest]) if worse < math.inf else math.inf)
    above = np.flatnonzero(loss > limit)
    left, right = above[above < lowest], above[above > lowest]
    first = 0.0 if not len(left) else _crossing(loss, int(left[-1]), int(left[-1]) + 1, limit)
    last = float(GRID - 1)
    if len(right):
        last = _crossing(loss, int(right[0]), int(right[0]) - 1, limit)
    return first, last


def _crossing(loss: Floats, outside: int, inside: int, limit: float) -> float:
    """Where, between two neighbours of the grid, the loss is at the limit."""
    share = (loss[outside] - limit) / (loss[outside] - loss[inside])
    return outside + float(share) * (inside - outside)


def _interval(value: float, draws: Floats) -> Interval:
    value = float(value)
    low, high = np.quantile(draws, TAILS)
    return Interval(value=value, low=min(value, float(low)), high=max(value, float(high)))
