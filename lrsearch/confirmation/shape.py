"""How many runs of a confirmation choose, among how many recipes, and how many report."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Share of the runs that choose; the rest report. 18 of 30 choosing and 12 reporting gave 94-95 %
#: coverage of the 95 % interval, reporting all of them 86-88 %.
CHOOSING_SHARE = 0.6
#: Fewest seeds that recipes are compared on, or a mean is given of.
LEAST_SEEDS = 2
#: Candidates, where the runs suffice and nobody says how many. Of 2 to 9 candidates, 4 lost least
#: with 6 to 9 runs that choose, 5 with 10 to 18 (20 recipes on digits, resampled: regret 3.6 % and
#: 2.5 % with 6 and 18 runs, 4.0 % and 3.1 % without halving, 8.6 % without re-runs).
CANDIDATES, MOST_CANDIDATES, RUNS_PER_CANDIDATE = 5, 10, 4
#: Runs up to which the seeds that choose are reported as well: there are too few for both. More
#: than these, and the mean is of seeds that had no part in the choice.
SMALL_RUNS = 6
#: Candidates and seeds that so few runs choose by; the rest are the winner's own. Over 3,000
#: resampled studies on each of eight tables (digits losses, the same in coarse steps, errors of 100
#: and 360 samples, log-normal and normal losses) the search's best alone lost 5.9, 6.9, 13.9, 24.5,
#: 9.8, 2.2, 7.8, 10.1 % to the best recipe, two on one seed (3, 4 runs) 3.3, 5.4, 11.2, 20.6, 7.8,
#: 1.4, 6.1, 8.9 %, two on two seeds (5, 6 runs) 2.6, 4.9, 9.9, 18.0, 7.1, 1.2, 5.5, 8.5 %. Three on
#: one seed lost more than two on two on six of eight tables.
SMALL = {3: (2, 1), 4: (2, 1), 5: (2, 2), 6: (2, 2)}


@dataclass(frozen=True, kw_only=True)
class Round:
    """So many candidates have been run on so many seeds each when it is over."""

    candidates: int
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The rounds that choose, and how many runs are left to report."""

    rounds: tuple[Round, ...]
    report: int


def shape(runs: int, top: int | None) -> Shape:
    """Divide `runs` between rounds that choose among up to `top` candidates, and reporting.

    `SMALL_RUNS` and fewer choose between two; what is reported then includes the seeds that chose.
    """
    if runs <= SMALL_RUNS:
        return _small(runs, top)
    choosing = math.floor(CHOOSING_SHARE * runs)
    auto = min(MOST_CANDIDATES, max(CANDIDATES, choosing // RUNS_PER_CANDIDATE))
    most = auto if top is None else min(top, choosing)
    for candidates in range(most, 1, -1):
        rounds = _halving(choosing, candidates)
        if rounds is not None:
            return Shape(rounds=rounds, report=runs - _cost(rounds))
    return Shape(rounds=(), report=runs)


def _small(runs: int, top: int | None) -> Shape:
    candidates, seeds = SMALL.get(runs, (1, 0))
    if candidates > (top or candidates) or candidates == 1:
        return Shape(rounds=(), report=runs)
    rounds = (Round(candidates=candidates, seeds=seeds),)
    return Shape(rounds=rounds, report=runs - _cost(rounds))


def _halving(runs: int, candidates: int) -> tuple[Round, ...] | None:
    """Rounds of about equally many runs, down to two candidates; None if these are too many."""
    fields = [candidates]
    while fields[-1] > 2:
        fields.append((fields[-1] + 1) // 2)
    rounds: list[Round] = []
    seeds = 0
    for i, field in enumerate(fields):
        more = max(1, runs // (len(fields) - i) // field)
        runs, seeds = runs - more * field, seeds + more
        rounds.append(Round(candidates=field, seeds=seeds))
    return tuple(rounds) if runs >= 0 and seeds >= LEAST_SEEDS else None


def _cost(rounds: Sequence[Round]) -> int:
    before = (0, *(each.seeds for each in rounds))
    return sum(
        each.candidates * (each.seeds - seeds) for each, seeds in zip(rounds, before, strict=False)
    )
