"""How likely training diverges at a learning rate: a logistic curve with its uncertainty.

The share that diverges rises with log lr from a floor, of trials that diverge for reasons of their
own, to 1. It is the psychometric function with a guess rate (Kuss, Jäkel and Wichmann 2005), whose
posterior is summed over a grid of edges, slopes and floors. So it is there as well where one lr
parts all that diverged from all that trained, where none diverged, and where all did.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Fewer trials than this have no curve.
LEAST_TRIALS = 4
#: Edges that are tried, and how far they may lie beyond the trials, in decades.
EDGES, BEYOND = 81, 1.0
#: Decades over which the share rises from 12 to 50 %: what differs between trials beside lr moves
#: their edge by up to so much. All are as likely beforehand, and so are the floors.
SLOPES = (0.02, 0.04, 0.08, 0.15, 0.3, 0.6)
FLOORS = (0.0, 0.02, 0.05, 0.1, 0.2)
#: Where the curve is told, evenly spread in log lr.
GRID = 61
TAILS = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True)
class Risk:
    """The share of trials at this learning rate that diverge, and its 95 % interval."""

    lr: float
    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class DivergenceCurve:
    """Of one optimizer's trials."""

    trials: int
    diverged: int
    curve: tuple[Risk, ...]


def fit_divergence(lrs: Sequence[float], diverged: Sequence[bool]) -> DivergenceCurve | None:
    """The curve of trials with these learning rates; None for fewer than LEAST_TRIALS."""
    if len(lrs) < LEAST_TRIALS:
        return None
    x = np.log10(np.asarray(lrs, float))
    edges = np.linspace(x.min() - BEYOND, x.max() + BEYOND, EDGES)
    edge, slope, floor = (
        each.ravel() for each in np.meshgrid(edges, SLOPES, FLOORS, indexing="ij")
    )
    at, counts, bad = _counted(x, np.asarray(diverged, bool))
    shares = np.clip(_shares(at, edge, slope, floor), 1e-9, 1 - 1e-9)
    score = bad @ np.log(shares) + (counts - bad) @ np.log1p(-shares)
    weights = np.exp(score - score.max())
    weights /= weights.sum()
    grid = np.linspace(x.min(), x.max(), GRID)
    told = _shares(grid, edge, slope, floor)
    curve = tuple(
        Risk(lr=float(10**place), share=float(row @ weights), low=low, high=high)
        for place, row in zip(grid, told, strict=True)
        for low, high in [_tails(row, weights)]
    )
    return DivergenceCurve(trials=len(lrs), diverged=int(sum(diverged)), curve=curve)


def _counted(x: Floats, diverged: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Learning rates to a fiftieth of a decade, trials there, and those of them that diverged."""
    found, place = np.unique(np.round(x * 50) / 50, return_inverse=True)
    at = np.asarray(found, float)
    counts = np.asarray(np.bincount(place), float)
    return at, counts, np.asarray(np.bincount(place, weights=diverged), float)


def _shares(at: Floats, edge: Floats, slope: Floats, floor: Floats) -> Floats:
    """What each model expects at each learning rate, a row for each of these."""
    rise = 0.5 * (1 + np.tanh((at[:, None] - edge) / slope))  # the logistic, which cannot overflow
    return np.asarray(floor + (1 - floor) * rise, float)


def _tails(values: Floats, weights: Floats) -> tuple[float, float]:
    """Weighted quantiles."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    low, high = (min(int(np.searchsorted(below, tail)), len(values) - 1) for tail in TAILS)
    return float(values[order[low]]), float(values[order[high]])
