"""How many trials the epochs of some full runs pay for, where pruning stops most of them early."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from math import inf

#: Trials that are counted one by one. Each further one is taken to cost what the last of them does.
COUNTED = 2000
#: How much more often trials of a sampler that learns pass a rung than in random order. With it 16
#: runs are expected to pay for 87 trials; on digits (6 seeds) they paid for 54 to 111.
LEARNING = 1.2


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a search is expected to go."""

    trials: int
    #: Trials that reach each rung, then the end of a run; fractions, as chances are summed.
    reached: tuple[float, ...]
    #: What the first trials, as many as were asked about, train, and all of them, in full runs.
    runs_first: float
    runs: float


@dataclass(frozen=True, kw_only=True)
class _Share:
    """What a trial is expected to train."""

    #: In full runs.
    runs: float
    #: The chance that it reaches each rung, then the end.
    reaches: tuple[float, ...]


def expected_trials(runs: float, *, rungs: Sequence[float], eta: float, min_peers: int) -> int:
    """Trials that the steps of `runs` full runs are expected to train.

    `rungs` are fractions of a run, none if nothing is pruned. As in a study, a trial starts only
    while a whole run is left.
    """
    return expected_course(runs, rungs=rungs, eta=eta, min_peers=min_peers).trials


def expected_course(
    runs: float,
    *,
    rungs: Sequence[float],
    eta: float,
    min_peers: int,
    most: float = inf,
    whole: int = 0,
    first: int = 0,
) -> Course:
    """The course of a search that `runs` full runs and `most` trials bound.

    The first `whole` trials are trained to their end whatever the rungs say. `first` is how many
    are added up in `runs_first`.
    """
    left, started, last = runs, 0, _Share(runs=1.0, reaches=(1.0,) * (len(rungs) + 1))
    reached, runs_first = [0.0] * (len(rungs) + 1), 0.0
    for last in islice(_shares(rungs, eta, min_peers, whole), COUNTED):
        if left < 1 or started >= most:
            break
        left, started = left - last.runs, started + 1
        runs_first += last.runs if started <= first else 0.0
        reached = [sum(pair) for pair in zip(reached, last.reaches, strict=True)]
    more = max(0, int(min((left - 1) / last.runs + 1, most - started)) if left >= 1 else 0)
    return Course(
        trials=started + more,
        reached=tuple(
            count + more * chance for count, chance in zip(reached, last.reaches, strict=True)
        ),
        runs_first=runs_first + last.runs * max(0, min(first, started + more) - COUNTED),
        runs=runs - left + more * last.runs,
    )


def _shares(rungs: Sequence[float], eta: float, min_peers: int, whole: int) -> Iterator[_Share]:
    """What each trial in turn is expected to train."""
    counts = [0.0] * len(rungs)
    ends, number = [*rungs, 1.0], 0
    while True:
        goes_on, trained, reaches = 1.0, ends[0], [1.0]
        for rung, (start, end) in enumerate(pairwise(ends)):
            counts[rung] += goes_on
            peers = counts[rung]
            if number >= whole and peers >= min_peers:
                goes_on *= min(1.0, max(1 / peers, LEARNING / eta))
            trained += goes_on * (end - start)
            reaches.append(goes_on)
        yield _Share(runs=trained, reaches=tuple(reaches))
        number += 1
