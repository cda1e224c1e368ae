"""How loss depends on the learning rate: a smooth curve through trials, and where it is low.

The curve is a Gaussian process in log10 lr (Rasmussen and Williams 2006, chapter 2): a parabola of
unknown coefficients (section 2.7) and a smooth departure from it, so that few trials give a parabola
and many give whatever shape they have. What trials differ in beside their learning rate is noise.
It has the heavy tails of Student's t (Lange, Little and Taylor 1989), so that a trial which went
wrong for another reason moves the curve little. Intervals hold 95 % of the curves that the trials
leave likely, averaged over how smooth the curve and how noisy the trials may be.

Measured on 60 sets each of 8, 12, 20, 60 and 200 trials over 4 decades, with noise of 8 % upwards and
every tenth loss doubled: on a parabola the interval of the width at +5 % holds it in 92 to 100 % of
the sets; on a flat bottom before a wall in 95 % from 60 trials on, but in 35 to 53 % below. There a
few trials look like a parabola, and the width is told too small.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Fewer trials than this, or at fewer learning rates, have no curve.
LEAST_TRIALS, LEAST_RATES = 8, 5
#: More trials are summed up in so many groups of neighbouring learning rates.
MOST_POINTS = 200
#: Weight of a guessed loss: that of a measured one with twice the noise.
GUESS = 0.25
#: Where the curve is told, evenly spread in log lr.
GRID = 81
#: Curves that intervals are read from.
DRAWS = 400
#: How much worse than the lowest loss a safe learning rate may be.
SMALL, LARGE = 0.01, 0.05
#: The curve is fitted again to the trials where the first one is at most so much worse than its
#: lowest, but to no fewer than so many: a wall of ten times the loss would else bend the bottom. If
#: the safe learning rates do not end among these, the next share is taken.
NEAR, LEAST_NEAR = (0.5, 2.0, math.inf), 12
#: Shares of the draws below and above an interval.
TAILS = (0.025, 0.975)
#: Degrees of freedom of the noise: 4 is Lange, Little and Taylor's choice where it is not fitted.
TAIL_DEGREES = 4.0
ROUNDS = 4
#: Standard deviations of the departure and of the noise, of that of the losses, and the decades
#: over which the departure keeps its sign: the likeliest three are taken.
DEPARTURES, NOISES, LENGTHS = (0.3, 1.0), (0.03, 0.06, 0.12, 0.25, 0.5, 1.0), (0.3, 0.6, 1.2)
#: What is expected before any trial: noise about a quarter of the spread, give or take a factor of
#: e, and a departure only where the trials ask for one, in units of log likelihood. Without it few
#: trials are joined dot by dot.
EXPECTED_NOISE, DEPARTURE_COST = 0.25, 2.0
#: Of the parabola's coefficients, of the spread of the losses: wide enough to say nothing.
PARABOLA = 10.0


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


def fit_basin(
    lrs: Sequence[float], losses: Sequence[float], guessed: Sequence[bool] = ()
) -> Basin | None:
    """The basin of trials with these learning rates, above 0, and finite losses.

    `guessed` tells whose losses were not measured, and count less; none where it is empty. None for fewer than LEAST_TRIALS, or fewer than LEAST_RATES different learning rates. Equal
    trials give an equal basin.
    """
    if len(lrs) < LEAST_TRIALS or len(set(lrs)) < LEAST_RATES:
        return None
    x, y = np.log10(np.asarray(lrs, float)), np.asarray(losses, float)
    weights = np.where(guessed, GUESS, 1.0) if len(guessed) else np.ones(len(x))
    all_grid, all_draws, all_scale = _fit(x, y, weights)
    for share in NEAR:
        near = _near(x, all_grid, all_draws.mean(axis=0), all_scale, share)
        if len(np.unique(x[near])) < LEAST_RATES:
            continue
        grid, draws, scale = _fit(x[near], y[near], weights[near])
        mean = draws.mean(axis=0)
        safe = [_safe(grid, mean, draws, scale, worse) for worse in (SMALL, LARGE)]
        hidden = (safe[1].open_low and grid[0] > x.min(), safe[1].open_high and grid[-1] < x.max())
        if not any(hidden):
            break
    return _basin(int(near.sum()), grid, draws, scale, safe)


def _basin(trials: int, grid: Floats, draws: Floats, scale: _Scale, safe: Sequence[Safe]) -> Basin:
    mean = draws.mean(axis=0)
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


def _fit(x: Floats, y: Floats, weights: Floats) -> tuple[Floats, Floats, _Scale]:
    """Where the curve is told, curves that are likely there, and the scale that these are on."""
    scale = _Scale.of(y)
    grid = np.linspace(x.min(), x.max(), GRID)
    return grid, _posterior(*_grouped(x, scale.inner(y), weights), grid), scale


def _near(x: Floats, grid: Floats, mean: Floats, scale: _Scale, worse: float) -> NDArray[np.bool_]:
    """Which trials lie where the curve is at most so much worse than its lowest."""
    step = grid[1] - grid[0]
    first, last = (float(grid[0] + step * place) for place in _reach(mean, scale, worse))
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


def _kernel(a: Floats, b: Floats, departure: float, length: float) -> Floats:
    """Covariance of the curve between learning rates, in decades from the trials' middle."""
    both = np.outer(a, b)
    parabola = PARABOLA**2 * (1 + both + both**2)
    gap = (a[:, None] - b[None, :]) / length
    return np.asarray(parabola + departure**2 * np.exp(-0.5 * gap**2), float)


def _posterior(at: Floats, y: Floats, size: Floats, grid: Floats) -> Floats:
    """DRAWS curves on the grid that the trials leave likely, one a row; always the same ones."""
    middle = (at.min() + at.max()) / 2
    a, g = at - middle, grid - middle
    weights = np.ones(len(a))
    for _ in range(ROUNDS):
        likely = _likely(a, y, size * weights)
        best = max(likely, key=lambda each: each.score)
        fitted = _gain(a, a, best, size * weights) @ y
        # The expected weight of a t-distributed residual, for noise of this size.
        residuals = size * ((y - fitted) / best.noise) ** 2
        weights = (TAIL_DEGREES + 1) / (TAIL_DEGREES + residuals)
    total = sum(math.exp(each.score - best.score) for each in likely)
    kept = [(each, math.exp(each.score - best.score) / total) for each in likely]
    random = np.random.default_rng(0)
    draws = [
        _draws(a, y, g, each, size * weights, random.standard_normal((round(DRAWS * share), GRID)))
        for each, share in kept
        if round(DRAWS * share)
    ]
    return np.concatenate(draws)


@dataclass(frozen=True, kw_only=True)
class _Model:
    """How far a curve may depart from a parabola, over how many decades, and how noisy trials are.

    Standard deviations, on the fitted scale; `score` is the log likelihood with what is expected.
    """

    departure: float
    length: float
    noise: float
    score: float


def _likely(a: Floats, y: Floats, size: Floats) -> list[_Model]:
    """Every model with its marginal likelihood (5.8)."""
    found = []
    for departure, length in [(0.0, LENGTHS[-1]), *product(DEPARTURES, LENGTHS)]:
        scaled = _kernel(a, a, departure, length) * np.sqrt(np.outer(size, size))
        values, vectors = np.linalg.eigh(scaled)
        rotated = vectors.T @ (y * np.sqrt(size))
        for noise in NOISES:
            spectrum = np.maximum(values, 0) + noise**2
            score = -0.5 * float(np.sum(rotated**2 / spectrum + np.log(spectrum)))
            score -= 0.5 * math.log(noise / EXPECTED_NOISE) ** 2
            score -= DEPARTURE_COST * (departure > 0)
            found.append(_Model(departure=departure, length=length, noise=noise, score=score))
    return found


def _gain(g: Floats, a: Floats, model: _Model, size: Floats) -> Floats:
    """What the curve's mean at `g` takes of the losses at `a`."""
    own = _kernel(a, a, model.departure, model.length) + np.diag(model.noise**2 / size)
    cross = _kernel(g, a, model.departure, model.length)
    return np.asarray(np.linalg.solve(own, cross.T).T, float)


def _draws(a: Floats, y: Floats, g: Floats, model: _Model, size: Floats, normal: Floats) -> Floats:
    """Curves of one model, one for each row of `normal`."""
    gain = _gain(g, a, model, size)
    prior, cross = (_kernel(g, b, model.departure, model.length) for b in (g, a))
    covariance = prior - gain @ cross.T
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray(gain @ y + normal * np.sqrt(np.maximum(values, 0)) @ vectors.T, float)


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
