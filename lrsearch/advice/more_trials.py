"""What more trials of a study would bring: the expected gain of twice as many, with a band.

Both are read from the ordered values of the trials there are, as though they were drawn one by one
at random. benchmarks/advice.py sets them beside what twice the trials really gained.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: From fewer trials nothing is said. Replayed on three recorded sets with and without pruning, the
#: mean expected gain of 32 to 128 trials was 0.7 to 2.0 times the true one, 0.95 in the middle; of
#: 16 trials up to 2.7 times.
LEAST_TRIALS = 32
#: The band reaches to the value of this rank or lower ones; see `_band_rank`.
LEAST_RANK = 5


@dataclass(frozen=True, kw_only=True)
class Gain:
    """By how much the best value of twice the trials would be better, in the objective's unit."""

    #: Trials that it is read from.
    trials: int
    expected: float
    #: 95 % of the gains are between 0 and this. Half of them are 0: the best of twice as many is
    #: among the first half as likely as not.
    high: float


def gain_of_doubling(
    complete: Sequence[float], stopped: Sequence[float] = (), *, without_value: int = 0
) -> Gain | None:
    """The gain from as many trials again; lower losses are better. None for too few losses.

    `stopped` are the losses that pruned trials had reached, which stand for what they would have
    reached but count as no better than the best complete one. Trials `without_value` (diverged,
    failed) count as no better than the worst.

    Where the lower tail of a distribution is a power, the gain shrinks by the same factor with each
    multiple of the trials. The gains from a half to 0.71 of the trials and from there to all of
    them give the factor; two steps more are twice the trials.
    """
    if not complete:
        return None
    best = min(complete)
    known = sorted([*complete, *(max(best, loss) for loss in stopped)])
    count = len(known) + without_value
    rank = _band_rank(count)
    if len(known) < rank:
        return None
    ordered = known + [known[-1]] * without_value
    half, most = (expected_best(ordered, round(count * share)) for share in (0.5, math.sqrt(0.5)))
    before, last = half - most, most - best
    factor = min(1.0, last / before) if before > 0 else 0.0
    high = ordered[rank - 1] - best
    return Gain(trials=count, expected=min(last * (factor + factor**2), high), high=high)


def _band_rank(count: int) -> int:
    """The gain is below the distance from the best to the value of this rank.

    The square root of the number of trials: replayed on three recorded sets, 16 to 256 trials with
    and without pruning, 92 to 100 % of the gains were. A fixed rank of 5 covered 78 % of some.
    """
    return max(LEAST_RANK, math.ceil(math.sqrt(count)))


def expected_best(ordered: Sequence[float], size: int) -> float:
    """The mean of the lowest of `size` values drawn without replacement; `ordered` rises.

    Raises ValueError unless 1 <= size <= len(ordered).
    """
    count = len(ordered)
    if not 1 <= size <= count:
        raise ValueError(f"{size} of {count} values cannot be drawn")
    chance, total = size / count, 0.0  # that the lowest of those drawn is the lowest of all
    for i, value in enumerate(ordered[: count - size + 1]):
        total += chance * value
        chance *= (count - size - i) / max(1, count - 1 - i)
    return total
