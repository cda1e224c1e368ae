"""Means over seeds, and differences between recipes on the same seeds: pure functions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

#: Confidence of every interval, and of the verdict that a recipe is better than another.
CONFIDENCE = 0.95
#: Pairs from which a signed-rank test can give p < 0.05 at all: of 5 pairs the least is 0.0625.
LEAST_PAIRS = 6

#: What the seeds say of a recipe beside another.
Verdict = Literal["better", "tied", "worse"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One recipe's values less another's on the same seeds."""

    n: int
    mean: float
    #: 95 % t-interval of the mean; None for a single pair.
    ci95: tuple[float, float] | None
    #: Two-sided Wilcoxon signed-rank p; None for fewer than six pairs.
    p: float | None

    def __neg__(self) -> "Difference":
        ci95 = None if self.ci95 is None else (-self.ci95[1], -self.ci95[0])
        return Difference(n=self.n, mean=-self.mean, ci95=ci95, p=self.p)


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The two-sided t-interval of the mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    from scipy.stats import t

    quantile = float(t.ppf((1 + confidence) / 2, len(values) - 1))
    half = quantile * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def signed_rank(differences: Sequence[float]) -> float | None:
    """Wilcoxon's two-sided p that differences are as often above 0 as below; None for too few.

    Of equal values throughout it is 1. It is exact, but where differences are equal or 0: there it
    is the normal approximation (scipy's exact way takes 0.8 s), and the ranks of zeros are shared
    between the signs.
    """
    if len(differences) < LEAST_PAIRS:
        return None
    if not any(differences):
        return 1.0
    from scipy.stats import wilcoxon

    sizes = {abs(value) for value in differences}
    method = "exact" if len(sizes) == len(differences) and 0 not in sizes else "asymptotic"
    return float(wilcoxon(differences, zero_method="zsplit", method=method).pvalue)


def pairs(mine: Mapping[int, float | None], others: Mapping[int, float | None]) -> dict[int, float]:
    """`mine` less `others` by seed, where both have a value."""
    return {
        seed: value - other
        for seed, value in mine.items()
        if value is not None and (other := others.get(seed)) is not None
    }


def difference(
    mine: Mapping[int, float | None], others: Mapping[int, float | None]
) -> Difference | None:
    """`mine` less `others` over their common seeds; None if there is none."""
    found = list(pairs(mine, others).values())
    if not found:
        return None
    return Difference(n=len(found), mean=fmean(found), ci95=interval(found), p=signed_rank(found))


def verdict(losses: Difference | None, tolerance: float) -> Verdict:
    """What a difference of losses says of the recipe that comes first in it.

    A recipe is better only if the whole 95 % interval lies beyond the tolerance. Equal recipes are
    so called tied in 95 % of all cases, and anything is where there are fewer than two pairs.
    """
    if losses is None or losses.ci95 is None:
        return "tied"
    low, high = losses.ci95
    if high < -tolerance:
        return "better"
    return "worse" if low > tolerance else "tied"


def pooled_spread(groups: Sequence[Sequence[float]]) -> float | None:
    """The standard deviation within groups; None if none has two values."""
    counted = [group for group in groups if len(group) > 1]
    if not counted:
        return None
    squares = sum(stdev(group) ** 2 * (len(group) - 1) for group in counted)
    return math.sqrt(squares / sum(len(group) - 1 for group in counted))
