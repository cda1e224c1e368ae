"""Which fields of a recipe part the best trials from the rest: PED-ANOVA (Watanabe et al. 2023).

A field matters as far as its density among the best trials differs from that among all: by the
Pearson divergence of the two. Only who is among the best is asked, not by how much, so that a trial
needs a rank and no value. As few trials differ by chance too, the divergence of equally many trials
that are drawn at random tells what is noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: The best trials are this share of all: Optuna's 0.1 leaves too few of a small study.
BEST_SHARE, LEAST_BEST, LEAST_TRIALS = 0.2, 5, 20
#: Places at which densities are compared, draws of random trials, and the quantile of theirs.
GRID, DRAWS, NOISE_QUANTILE = 50, 200, 0.95
#: Of more trials so many are taken, evenly spread.
MOST_TRIALS = 2000
#: Values that span more than this factor are compared by their logarithms.
LOG_FACTOR = 10.0
#: Added to each density, so that where no trial is none divides by 0.
FLOOR = 1e-3


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Of one field."""

    trials: int
    #: Pearson divergence; 0 where the best trials are spread as all are.
    divergence: float
    #: Below it in 95 % of draws if the field did not matter.
    noise: float


def importance(values: Sequence[float | str], losses: Sequence[float]) -> Importance | None:
    """Of a field with these values in trials with these losses, infinite for the worst.

    Words are categories. None for too few trials, or a field that is the same in all.
    """
    if len(values) < LEAST_TRIALS or len(set(values)) < 2:
        return None
    kept = np.unique(np.linspace(0, len(values) - 1, MOST_TRIALS).round().astype(int))
    picked = [values[i] for i in kept]
    order = np.argsort(np.asarray(losses, float)[kept], kind="stable")
    count = max(LEAST_BEST, round(BEST_SHARE * len(kept)))
    best = np.zeros((1, len(kept)))
    best[0, order[:count]] = 1 / count
    random = np.random.default_rng(0)
    drawn = np.zeros((DRAWS, len(kept)))
    for row in drawn:
        row[random.choice(len(kept), count, replace=False)] = 1 / count
    parts = _parts(picked, count)
    every = np.full((1, len(kept)), 1 / len(kept))
    divergences = _divergence(np.concatenate([best, drawn]) @ parts, every @ parts)
    return Importance(
        trials=len(values),
        divergence=float(divergences[0]),
        noise=float(np.quantile(divergences[1:], NOISE_QUANTILE)),
    )


def _divergence(density: Floats, every: Floats) -> Floats:
    base = every + FLOOR * every.mean()
    return np.asarray(((density - every) ** 2 / base).sum(axis=1) / base.sum(), float)


def _parts(values: Sequence[float | str], count: int) -> Floats:
    """What each trial, a row, adds to a density over the grid or the categories."""
    names = sorted({str(value) for value in values})
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) < len(values):
        at = np.array([names.index(str(value)) for value in values])
        return np.asarray(np.eye(len(names))[at], float)
    x = np.asarray(numbers, float)
    if x.min() > 0 and x.max() > LOG_FACTOR * x.min():
        x = np.log(x)
    x = (x - x.min()) / (x.max() - x.min())
    # Scott's rule (1992) for as many trials as the best are, for both densities alike.
    width = max(1.06 * float(x.std()) * count ** (-1 / 5), 1 / GRID)
    parts = np.exp(-0.5 * ((x[:, None] - np.linspace(0, 1, GRID)) / width) ** 2)
    return np.asarray(parts / parts.sum(axis=1, keepdims=True), float)
