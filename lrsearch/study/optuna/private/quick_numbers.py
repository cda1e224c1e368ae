"""TPE's draw of one number from a range, as Optuna computes it, and the same to the last bit.

Optuna computes the normal mass of each kernel for the samples and again for their densities, for
many parameters at once. Here there is one parameter, and what two steps need is computed once.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.samplers._tpe import _truncnorm
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.probability_distributions import (
    _BatchedTruncLogNormDistributions,
    _BatchedTruncNormDistributions,
)

#: Of shape (kernels,), (samples,) or (samples, kernels).
Floats = NDArray[np.float64]
_LOG_C = _truncnorm._norm_pdf_logC
_APPROXIMATION_C = _truncnorm._ndtri_exp_approx_C
_ROOT = 2**0.5
#: Newton's method ends when no step is larger than this share of the number, or after so many.
_PRECISION, _STEPS = 1e-8, 100


@dataclass(frozen=True)
class Kernels:
    """A Parzen estimator of one number: normal distributions inside a range, with weights."""

    weights: Floats
    mu: Floats
    sigma: Floats
    #: The ends of the range, as each kernel's standard normal has them.
    low: Floats
    high: Floats
    #: Of the log of the number.
    is_log: bool
    #: The log of each kernel's mass inside the range.
    mass: Floats

    @classmethod
    def of(cls, estimator: _ParzenEstimator) -> "Kernels | None":
        """None unless it is of one number from a range without steps."""
        mixture = estimator._mixture_distribution
        first, *others = mixture.distributions
        continuous = (_BatchedTruncNormDistributions, _BatchedTruncLogNormDistributions)
        if others or not isinstance(first, continuous):
            return None
        low = (first.adapted_low - first.mu) / first.sigma
        high = (first.adapted_high - first.mu) / first.sigma
        if (low == high).any():
            return None
        mass = _truncnorm._log_gauss_mass(low, high)
        return cls(mixture.weights, first.mu, first.sigma, low, high, first.is_log, mass)

    def sample(self, rng: np.random.RandomState, count: int) -> Floats:
        """So many numbers, in the unit of the kernels."""
        chosen = rng.choice(len(self.weights), p=self.weights, size=count)
        quantiles = rng.uniform(low=0, high=1, size=count)
        low, high = self.low[chosen], self.high[chosen]
        if (low < 0).all() and quantiles.all():
            standard = _inverse(_log_sum(low, quantiles, self.mass[chosen]))
        else:
            standard = _truncnorm.ppf(quantiles, low, high)
        found: Floats = standard * self.sigma[chosen] + self.mu[chosen]
        return found

    def log_density(self, numbers: Floats) -> Floats:
        """Of shape (samples,)."""
        standard = (numbers[:, np.newaxis] - self.mu) / self.sigma
        is_outside = (standard < self.low) | (standard > self.high)
        found = np.square(standard, out=standard)
        np.negative(found, out=found)
        found /= 2.0
        found -= _LOG_C
        found -= self.mass
        found -= np.log(self.sigma)
        found[is_outside] = -np.inf
        found += np.log(self.weights)
        top = found.max(axis=1)
        top[np.isneginf(top)] = 0
        found -= top[:, np.newaxis]
        with np.errstate(divide="ignore"):
            log: Floats = np.log(np.exp(found, out=found).sum(axis=1)) + top
        return log


def draw(good: Kernels, bad: Kernels, rng: np.random.RandomState, count: int) -> float:
    """Of so many samples of the good kernels that which the bad ones explain least."""
    numbers = good.sample(rng, count)
    if good.is_log:
        numbers = np.exp(numbers)
    inside = np.log(numbers) if good.is_log else numbers
    gains = good.log_density(inside) - bad.log_density(inside)
    return float(numbers[np.argmax(gains)])


def _log_sum(low: Floats, quantiles: Floats, mass: Floats) -> Floats:
    """The log of the normal distribution function where a quantile is, inside kernels' ranges."""
    found: Floats = np.logaddexp(_log_ndtr(low), np.log(quantiles) + mass)
    return found


def _inverse(y: Floats) -> Floats:
    """Where the log of the normal distribution function is `y`: Optuna's `_ndtri_exp`."""
    flipped = y > -1e-2
    z = y.copy()
    z[flipped] = np.log(-np.expm1(y[flipped]))
    x = np.empty_like(y)
    is_small = z < -5
    x[is_small] = -np.sqrt(-2.0 * (z[is_small] + _LOG_C))
    others = ~is_small
    x[others] = -_APPROXIMATION_C * np.log(np.expm1(-z[others]))
    for _ in range(_STEPS):
        log_ndtr = _log_ndtr(x)
        log_pdf = -0.5 * x**2 - _LOG_C
        step = (log_ndtr - z) * np.exp(log_ndtr - log_pdf)
        x -= step
        if (np.abs(step) < _PRECISION * np.abs(x)).all():
            break
    x[flipped] *= -1
    return x


def _log_ndtr(numbers: Floats) -> Floats:
    """The log of the normal distribution function."""
    return np.array([_log_ndtr_of(number) for number in numbers.tolist()])


def _log_ndtr_of(number: float) -> float:
    if not -20 < number <= 6:
        far: float = _truncnorm._log_ndtr_single(number)
        return far
    x = number / _ROOT
    if x < -1 / _ROOT:
        return math.log(0.5 * math.erfc(-x))
    if x < 1 / _ROOT:
        return math.log(0.5 + 0.5 * math.erf(x))
    return math.log(1.0 - 0.5 * math.erfc(x))
