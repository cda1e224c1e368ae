"""A rung's best learning rate with its uncertainty: a Bayesian parabola of ln loss over ln lr."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrsearch.transfer import constants
from lrsearch.transfer.runs import Run

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a rung's runs of one learning rate say."""

    lr: float
    #: ln lr.
    x: float
    #: Mean of ln loss over seeds; that of a diverged run is the rung's best plus a constant.
    y: float
    runs: int
    diverged: int


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """A rung's best learning rate."""

    horizon: int
    #: Mean and standard deviation of its ln.
    x: float
    spread: float
    #: ln of the curvature c of ln loss = a + c (x - optimum)**2.
    ln_curvature: float
    #: Standard deviation of ln loss between seeds that was taken.
    seed_spread: float
    points: tuple[Point, ...]
    #: The least loss lies on an end of the learning rates that were trained.
    is_open: bool

    @property
    def lr(self) -> float:
        return math.exp(self.x)

    @property
    def best(self) -> Point:
        """The point of least loss, the lower learning rate among equals."""
        return min(self.points, key=lambda point: point.y)

    def rise(self, x: float) -> float:
        """By which factor the loss at this ln lr is above the least, as the parabola has it."""
        return math.exp(math.exp(self.ln_curvature) * (x - self.x) ** 2)


def points_of(runs: Sequence[Run]) -> tuple[Point, ...]:
    """A rung's learning rates, rising. Raises ValueError if no run has a loss."""
    losses = [run.loss for run in runs if run.loss is not None]
    if not losses:
        raise ValueError("every run diverged")
    worst = math.log(min(losses)) + constants.DIVERGED
    found: dict[float, list[Run]] = defaultdict(list)
    for run in runs:
        found[run.lr].append(run)
    return tuple(
        Point(
            lr=lr,
            x=math.log(lr),
            y=float(np.mean([worst if r.loss is None else math.log(r.loss) for r in found[lr]])),
            runs=len(found[lr]),
            diverged=sum(run.loss is None for run in found[lr]),
        )
        for lr in sorted(found)
    )


def seed_spread(runs: Sequence[Run]) -> float | None:
    """Standard deviation of ln loss once means of learning rates and of seeds are taken off.

    None if fewer than two learning rates have the same two seeds.
    """
    table: dict[float, dict[int, float]] = defaultdict(dict)
    for run in runs:
        if run.loss is not None:
            table[run.lr][run.seed] = math.log(run.loss)
    seeds = sorted({run.seed for run in runs})
    whole = [[row[seed] for seed in seeds] for row in table.values() if len(row) == len(seeds)]
    if len(seeds) < 2 or len(whole) < 2:
        return None
    y = np.array(whole)
    rest = y - y.mean(0) - y.mean(1, keepdims=True) + y.mean()
    degrees = (y.shape[0] - 1) * (y.shape[1] - 1)
    return float(np.sqrt((rest**2).sum() / degrees))


def find_optimum(runs: Sequence[Run], before: Optimum | None) -> Optimum:
    """The optimum of a rung; `before` is that of the rung below, whose curvature is carried over.

    Raises ValueError for fewer than three learning rates, and where every run diverged.
    """
    points = points_of(runs)
    if len(points) < constants.LEAST_POINTS:
        raise ValueError(f"{len(points)} learning rates, but at least 3 make a parabola")
    spread = seed_spread(runs) or (constants.SEED_SPREAD if before is None else before.seed_spread)
    place = min(range(len(points)), key=lambda i: points[i].y)
    kept = _near(points, points[place])
    origin = points[place].x
    fit = _parabolas(kept, origin, spread, None if before is None else before.ln_curvature)
    low, high = kept[0].x - constants.BEYOND, kept[-1].x + constants.BEYOND
    mean = fit.mean + origin
    clamped = min(max(mean, low), high)
    variance = fit.variance + (mean - clamped) ** 2 + constants.LEAST_SPREAD**2
    return Optimum(
        horizon=runs[0].horizon,
        x=clamped,
        spread=math.sqrt(variance),
        ln_curvature=fit.ln_curvature,
        seed_spread=spread,
        points=points,
        is_open=place in (0, len(points) - 1),
    )


def _near(points: Sequence[Point], best: Point) -> list[Point]:
    """The points around the best that a parabola is fitted to."""
    near = [
        point
        for point in points
        if abs(point.x - best.x) < constants.NEAR_LR and point.y - best.y < constants.NEAR_LOSS
    ]
    if len(near) < constants.LEAST_POINTS:
        near = sorted(points, key=lambda p: abs(p.x - best.x))[: constants.LEAST_POINTS]
    return sorted(near, key=lambda point: point.x)


@dataclass(frozen=True, kw_only=True)
class _Fit:
    mean: float
    variance: float
    ln_curvature: float


def _parabolas(
    points: Sequence[Point], origin: float, spread: float, ln_before: float | None
) -> _Fit:
    """Parabolas of every curvature, each weighted by its likelihood and prior.

    For a curvature c, intercept and slope are flat a priori: weighted least squares gives the
    vertex, its variance, and the marginal likelihood of the points.
    """
    low, high, count = constants.CURVATURES
    ln_curvatures = np.linspace(math.log(low), math.log(high), count)
    x = np.array([point.x - origin for point in points])
    y = np.array([point.y for point in points])
    runs = np.array([point.runs for point in points])
    solved = [_with_curvature(math.exp(ln_c), x, y, spread**2 / runs) for ln_c in ln_curvatures]
    vertices, variances, evidence = (np.array(each) for each in zip(*solved, strict=True))
    if ln_before is not None:
        evidence = evidence - 0.5 * ((ln_curvatures - ln_before) / constants.CURVATURE_SPREAD) ** 2
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    mean = float(weights @ vertices)
    return _Fit(
        mean=mean,
        variance=float(weights @ (variances + vertices**2)) - mean**2,
        ln_curvature=float(weights @ ln_curvatures),
    )


def _with_curvature(c: float, x: Floats, y: Floats, noise: Floats) -> tuple[float, float, float]:
    """The vertex of the parabola of this curvature, its variance, and the points' ln evidence."""
    misfit = constants.MISFIT * c * x**2 + constants.LEAST_MISFIT
    weights = 1 / (noise + misfit**2)
    design = np.stack([np.ones_like(x), x], axis=1)
    normal = design.T @ (weights[:, None] * design)
    covariance = np.linalg.inv(normal)
    left = y - c * x**2
    a, b = covariance @ (design.T @ (weights * left))
    rest = left - a - b * x
    evidence = 0.5 * np.log(weights).sum() - 0.5 * np.linalg.slogdet(normal)[1]
    evidence -= 0.5 * float(weights @ rest**2)
    return -b / (2 * c), covariance[1, 1] / (4 * c**2), float(evidence)


def optima(runs: Mapping[int, Sequence[Run]]) -> list[Optimum]:
    """The optima of rungs in the order given, each with the curvature of the one before."""
    found: list[Optimum] = []
    for each in runs.values():
        found.append(find_optimum(each, found[-1] if found else None))
    return found
