"""Means over seeds, and differences between recipes on the same seeds: pure functions."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev
from typing import Literal

#: Confidence of every interval, and of the verdict that a recipe is better than another.
CONFIDENCE = 0.95
#: Pairs from which a signed-rank test can give p < 0.05 at all: of 5 pairs the least is 0.0625.
LEAST_PAIRS = 6
#: Values that a common step is read from at least, and the least step beside the largest value.
LEAST_FOR_STEP, LEAST_STEP = 6, 1e-5

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


def interval(
    values: Sequence[float], confidence: float = CONFIDENCE, *, step: float = 0.0
) -> tuple[float, float] | None:
    """The two-sided t-interval of the mean; None for fewer than two values.

    `step` is what the values are multiples of, see `common_step`. Few values of coarse steps are
    often all equal, though the mean of many is not: the variance of rounding to the step, step**2 /
    12 (Sheppard's), is added to theirs. Without it 70 to 92 % of the intervals of 2 to 5 values
    held the mean where a step was a standard deviation, with it 96 to 99.8 %.
    """
    if len(values) < 2:
        return None
    spread = math.hypot(stdev(values), step / math.sqrt(12))
    half = t_quantile(confidence, len(values) - 1) * spread / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def common_step(values: Collection[float]) -> float:
    """What all values are multiples of, as errors of a set of some hundred samples are; else 0.

    It is their greatest common divisor, by Euclid's algorithm. One below `LEAST_STEP` of the
    largest value is rounding error, or does not matter; fewer than `LEAST_FOR_STEP` values tell
    nothing.
    """
    most = max(map(abs, values), default=0.0)
    different = set(values)
    if len(values) < LEAST_FOR_STEP or len(different) < 2 or not math.isfinite(most):
        return 0.0
    step = 0.0
    for value in different:
        rest = abs(value)
        while rest > LEAST_STEP * most:
            step, rest = rest, step % rest
            if step - rest <= LEAST_STEP * most:  # a multiple but for rounding
                rest = 0.0
    return step if step > 2 * LEAST_STEP * most else 0.0


@cache
def t_quantile(confidence: float, degrees: int) -> float:
    """The t that holds the share `confidence` of Student's distribution between -t and t.

    `degrees` of freedom are at least 1. It is solved for by bisection in the angle atan(t /
    sqrt(degrees)), of which the share is a finite sum (Abramowitz and Stegun 1972, 26.7.3 and
    26.7.4). The tests compare it with scipy, whose import takes longer than all else that `lrsearch
    study show` does.
    """
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        if _t_share(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return math.tan(high) * math.sqrt(degrees)


def _t_share(angle: float, degrees: int) -> float:
    """The share of Student's distribution within the t of this angle to both sides."""
    odd = degrees % 2
    square = math.cos(angle) ** 2
    term = math.cos(angle) if odd else 1.0
    total = term if degrees > 1 else 0.0
    for j in range(2 if odd else 1, degrees - 2, 2):
        term *= square * j / (j + 1)
        total += term
    share = math.sin(angle) * total
    return 2 / math.pi * (angle + share) if odd else share


def signed_rank(differences: Sequence[float]) -> float | None:
    """Wilcoxon's two-sided p that differences are as often above 0 as below; None for too few.

    If all differences are 0 it is 1. If all sizes differ and none is 0 it is exact. Else it is the
    normal approximation with the correction for ties, and zeros count half to each sign.
    """
    if len(differences) < LEAST_PAIRS:
        return None
    if not any(differences):
        return 1.0
    sizes = Counter(abs(value) for value in differences)
    ranks: dict[float, float] = {}
    below = 0
    for size in sorted(sizes):
        ranks[size] = below + (sizes[size] + 1) / 2
        below += sizes[size]
    above = (
        sum(ranks[value] for value in differences if value > 0) + ranks.get(0, 0.0) * sizes[0] / 2
    )
    if len(sizes) == len(differences) and not sizes[0.0]:
        return _exact_p(len(differences), round(above))
    return _normal_p(len(differences), above, list(sizes.values()))


def _exact_p(n: int, above: int) -> float:
    """Twice the chance that the ranks 1 to n with random signs sum so far out as `above`."""
    counts = [1] + [0] * (n * (n + 1) // 2)  # by the sum of the positive ranks
    for rank in range(1, n + 1):
        for total in range(len(counts) - 1, rank - 1, -1):
            counts[total] += counts[total - rank]
    least = min(above, len(counts) - 1 - above)
    return min(1.0, 2.0 * sum(counts[: least + 1]) / 2.0**n)


def _normal_p(n: int, above: float, ties: Sequence[int]) -> float:
    variance = n * (n + 1) * (2 * n + 1) / 24 - sum(tie**3 - tie for tie in ties) / 48
    return math.erfc(abs(above - n * (n + 1) / 4) / math.sqrt(2 * variance))


def pairs(mine: Mapping[int, float | None], others: Mapping[int, float | None]) -> dict[int, float]:
    """`mine` less `others` by seed, where both have a value."""
    return {
        seed: value - other
        for seed, value in mine.items()
        if value is not None and (other := others.get(seed)) is not None
    }


def difference(
    mine: Mapping[int, float | None], others: Mapping[int, float | None], *, step: float = 0.0
) -> Difference | None:
    """`mine` less `others` over their common seeds; None if there is none.

    `step` is what the values are multiples of. Both of a pair are rounded to it, which adds twice
    the variance of one rounding. Without it 9 % of equal recipes were told apart by 2 to 4 seeds
    where a step was a standard deviation, and 6 % by errors of 360 samples; with it under 3 %.
    """
    found = list(pairs(mine, others).values())
    if not found:
        return None
    ci95 = interval(found, step=math.sqrt(2) * step)
    return Difference(n=len(found), mean=fmean(found), ci95=ci95, p=signed_rank(found))


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
