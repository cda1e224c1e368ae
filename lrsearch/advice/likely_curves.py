"""Smooth curves of loss against learning rate that trials leave likely.

A curve is a Gaussian process in log10 lr (Rasmussen and Williams 2006, chapter 2): a parabola of
unknown coefficients (section 2.7) and a departure from it, so that few trials give a parabola and
many give whatever shape they have. The departure has a Matern kernel (section 4.2.1): the smoother
squared exponential is too sure of what it tells near a wall (Stein 1999, section 1.7; measured in
benchmarks/lr_basin.py). What trials differ in beside their learning rate is
noise. It has the heavy tails of Student's t (Lange, Little and Taylor 1989), so that a trial which
went wrong for another reason moves the curve little. How smooth the curve and how noisy the trials
are is averaged over.
"""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Curves that intervals are read from.
DRAWS = 200
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
#: Added to the variances of a drawn curve: 1e-4 of the losses' standard deviation.
JITTER = 1e-8
#: Of the parabola's coefficients, of the spread of the losses: wide enough to say nothing.
PARABOLA = 10.0


def likely_curves(at: Floats, y: Floats, size: Floats, grid: Floats) -> Floats:
    """About DRAWS curves on the grid, one a row; always the same ones.

    `at` are log10 learning rates, `y` losses of a spread of about 1, `size` their weights.
    """
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
    draws = []
    for each, share in kept:
        normal = random.standard_normal((round(DRAWS * share), len(grid)))
        if len(normal):
            draws.append(_draws(a, y, g, each, size * weights, normal))
    return np.concatenate(draws)


def _kernel(a: Floats, b: Floats, departure: float, length: float) -> Floats:
    """Covariance of the curve between learning rates, in decades from the trials' middle."""
    both = np.outer(a, b)
    parabola = PARABOLA**2 * (1 + both + both**2)
    gap = math.sqrt(3) * np.abs(a[:, None] - b[None, :]) / length  # (4.17)
    return np.asarray(parabola + departure**2 * (1 + gap) * np.exp(-gap), float)


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
    return np.asarray(gain @ y + normal @ _root((covariance + covariance.T) / 2).T, float)


def _root(covariance: Floats) -> Floats:
    """A square root of a covariance, of which rounding may have made the least values negative.

    Cholesky's takes a fifteenth of the time of the one by eigenvalues, which is there in any case.
    """
    try:
        raised = covariance + JITTER * np.eye(len(covariance))
        return np.asarray(np.linalg.cholesky(raised), float)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0)), float)
