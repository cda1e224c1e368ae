"""How the best learning rate moves with the horizon: two regimes, each a Gaussian in closed form.

x(j) is the best ln lr j octaves above the first rung. It is x(0) plus ln 2 times the slopes of the
octaves below j. An octave's slope is B + e + r: B is normal around the regime's slope, e is drawn
for each octave, r is a random walk over octaves. So rungs and prediction are jointly normal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from lrsearch.transfer import constants
from lrsearch.transfer.constants import OVERFITTING, REGIMES, Regime
from lrsearch.transfer.optimum import Floats

LN2 = math.log(2)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A rung's optimum as the law sees it."""

    #: log2 of its horizon by the first rung's.
    octaves: float
    #: Mean and standard deviation of ln lr.
    x: float
    spread: float


@dataclass(frozen=True, kw_only=True)
class Branch:
    """What one regime predicts, and how probable it is."""

    regime: Regime
    probability: float
    #: Mean and standard deviation of ln lr; errors of grid and calibration are in the second.
    x: float
    spread: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The best ln lr at a horizon."""

    branches: tuple[Branch, ...]

    @property
    def likeliest(self) -> Branch:
        """The more probable regime; a mean over both would lie in neither."""
        return max(self.branches, key=lambda branch: branch.probability)

    @property
    def overfitting(self) -> float:
        """Probability that overfitting limits."""
        return next(b.probability for b in self.branches if b.regime is OVERFITTING)

    @property
    def interval(self) -> tuple[float, float]:
        """The central 90 % of the mixture, in ln lr."""
        tail = (1 - constants.CONFIDENCE) / 2
        return self._quantile(tail), self._quantile(1 - tail)

    def _quantile(self, share: float) -> float:
        """Solved for by bisection."""
        ends = [NormalDist(b.x, b.spread).inv_cdf(share) for b in self.branches]
        low, high = min(ends), max(ends)
        for _ in range(60):
            middle = (low + high) / 2
            below = sum(
                b.probability * NormalDist(b.x, b.spread).cdf(middle) for b in self.branches
            )
            low, high = (middle, high) if below < share else (low, middle)
        return (low + high) / 2


def octave_sums(octaves: Sequence[float]) -> Floats:
    """ln 2 times how much of each octave lies below each place, [places, octaves]."""
    count = max(1, math.ceil(max(octaves) - 1e-9))
    sums: Floats = LN2 * np.clip(np.array(octaves)[:, None] - np.arange(count), 0, 1)
    return sums


def slope_covariance(regime: Regime, count: int) -> Floats:
    """Of the slopes of so many octaves, [count, count]."""
    order = np.arange(1, count + 1)
    walk = regime.walk**2 * np.minimum(order[:, None], order)
    covariance: Floats = regime.common**2 + regime.own**2 * np.eye(count) + walk
    return covariance


def predict(measured: Sequence[Measured], octaves: float) -> Prediction:
    """The best ln lr so many octaves above the first rung, given the optima of rungs.

    Raises ValueError without any.
    """
    if not measured:
        raise ValueError("no rung has an optimum")
    found = [_branch(regime, measured, octaves) for regime in REGIMES]
    evidence = np.array([ln_evidence for _, _, ln_evidence in found])
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    return Prediction(
        branches=tuple(
            Branch(regime=regime, probability=float(weight), x=x, spread=spread)
            for regime, weight, (x, spread, _) in zip(REGIMES, weights, found, strict=True)
        )
    )


def _branch(
    regime: Regime, measured: Sequence[Measured], octaves: float
) -> tuple[float, float, float]:
    """Mean and standard deviation at `octaves`, and the ln of prior times evidence."""
    sums = octave_sums([*(each.octaves for each in measured), octaves])
    mean = regime.slope * sums.sum(1)
    covariance = sums @ slope_covariance(regime, sums.shape[1]) @ sums.T + constants.UNKNOWN
    noise = np.array([each.spread**2 + constants.MISSES**2 for each in measured])
    known = covariance[:-1, :-1] + np.diag(noise)
    rest = np.array([each.x for each in measured]) - mean[:-1]
    gain = np.linalg.solve(known, covariance[:-1, -1])
    variance = max(0.0, float(covariance[-1, -1] - gain @ covariance[:-1, -1]))
    spread = constants.CALIBRATION * math.sqrt(variance + constants.GRID_ERROR**2)
    quadratic = float(rest @ np.linalg.solve(known, rest))
    evidence = -0.5 * (np.linalg.slogdet(known)[1] + quadratic)
    return float(mean[-1] + gain @ rest), spread, math.log(regime.weight) + float(evidence)
