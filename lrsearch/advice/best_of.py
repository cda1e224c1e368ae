"""What the best of k trials loses, so that groups of unlike many trials compare.

The best of many trials is better than the best of few by luck alone. The expected best of k of a
group's trials (Dodge et al. 2019) is the same for all sizes; its interval is a bootstrap's over the
group's trials (Efron 1979). Whether two groups differ is a permutation test's to say (Phipson and
Smyth 2010): intervals of so few trials are too narrow for it. Trials of a sampler that learns are
no independent draws: it is told of those that were drawn.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lrsearch.advice.lr_basin import TAILS, Interval

RESAMPLES = 400
#: Of the permutation test: p is never below 1 in so many, and one more.
PERMUTATIONS = 1999


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


def chance(first: Sequence[float], second: Sequence[float], k: int) -> float:
    """How often chance parts two groups as far: the p-value, two-sided, of a permutation test.

    Losses are dealt anew into groups of the same sizes, `PERMUTATIONS` times. It is the share of
    deals, the one that was found among them, after which the expected bests of k differ by as much.
    Equal losses give equal shares. Raises ValueError for a k below 1 or above a group's size.
    """
    sizes, every = (len(first), len(second)), np.sort(np.asarray([*first, *second], float))
    shares = [np.append(_shares(size, k), 0.0) for size in sizes]
    found = expected_best(first, k) - expected_best(second, k)
    random = np.random.default_rng(0)
    order = random.random((PERMUTATIONS, len(every))).argsort(axis=1)
    dealt = order < sizes[0]
    # A group's i-th lowest has so many of its own before it among all, from the lowest on.
    best = [
        (np.where(mine, share[np.minimum(mine.cumsum(axis=1) - 1, len(share) - 1)], 0.0) @ every)
        for mine, share in zip((dealt, ~dealt), shares, strict=True)
    ]
    slack = 1e-9 * max(1e-300, float(np.abs(every).max()))  # rounding is no difference
    as_far = int((np.abs(best[0] - best[1]) >= abs(found) - slack).sum())
    return (as_far + 1) / (PERMUTATIONS + 1)


def _shares(n: int, k: int) -> NDArray[np.float64]:
    """How often the i-th lowest of n is the lowest of k that are chosen of them."""
    if not 1 <= k <= n:
        raise ValueError(f"k = {k}, but 1 to {n}, the number of trials, are accepted")
    every = math.comb(n, k)
    return np.array([math.comb(n - i, k - 1) / every for i in range(1, n + 1)])
