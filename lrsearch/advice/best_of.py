"""What the best of k trials loses, so that groups of unlike many trials compare.

The best of many trials is better than the best of few by luck alone. The expected best of k of a
group's trials (Dodge et al. 2019) is the same for all sizes; its interval is a bootstrap's over the
group's trials (Efron 1979). Trials of a sampler that learns are no independent draws: it is told of
those that were drawn.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lrsearch.advice.lr_basin import TAILS, Interval

RESAMPLES = 400


def expected_best(losses: Sequence[float], k: int) -> float:
    """The mean, over all choices of k of these losses, of the lowest.

    Raises ValueError for a k below 1 or above their number.
    """
    shares = _shares(len(losses), k)
    return float(np.sort(np.asarray(losses, float)) @ shares)


def best_of(losses: Sequence[float], k: int) -> Interval:
    """The same with its 95 % interval. Equal losses give equal intervals."""
    shares = _shares(len(losses), k)
    random = np.random.default_rng(0)
    picked = random.integers(0, len(losses), (RESAMPLES, len(losses)))
    drawn = np.sort(np.asarray(losses, float)[picked], axis=1) @ shares
    value = expected_best(losses, k)
    low, high = np.quantile(drawn, TAILS)
    return Interval(value=value, low=min(value, float(low)), high=max(value, float(high)))


def _shares(n: int, k: int) -> NDArray[np.float64]:
    """How often the i-th lowest of n is the lowest of k that are chosen of them."""
    if not 1 <= k <= n:
        raise ValueError(f"k = {k}, but 1 to {n}, the number of trials, are accepted")
    every = math.comb(n, k)
    return np.array([math.comb(n - i, k - 1) / every for i in range(1, n + 1)])
