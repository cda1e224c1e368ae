"""Which confirmation runs are due next: a pure function of those that there are.

Rounds of about equally many runs compare ever fewer candidates on ever more seeds, all of a round
on the same ones. The best two of the last round, and a baseline, are then run on seeds that had no
part in the choice.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from lrsearch.confirmation.runs import (
    BASELINE,
    CANDIDATE,
    CHOOSE,
    REPORT,
    RIVAL,
    TEST,
    TEST_FOLLOWS,
    WINNER,
    PlannedRun,
    Run,
)
from lrsearch.confirmation.shape import LEAST_SEEDS, SMALL_RUNS, Shape, shape
from lrsearch.confirmation.statistics import CONFIDENCE, LEAST_PAIRS, interval, pairs

#: Seeds for each of the two finalists below which the winner takes all: of 3 values, an interval
#: is 2.5 standard deviations to each side, of 6 it is 1.05.
RIVAL_SEEDS = 4
#: Runs below which the test set is left alone: the other two give an interval.
LEAST_WITH_TEST = 3
#: A leader that is ahead of every rival with this confidence, on so many seeds, is not tried on.
CLEAR_CONFIDENCE, CLEAR_SEEDS = 0.99, 4
#: What the loss of the search's own seed counts beside a fresh seed's, where few runs choose. It is
#: the less to be trusted the more trials it was the best of: on digits, where it is 18 % too good,
#: 0 was best (regret 2.92, 3.00, 3.10 % with 0, 0.5, 1 after three runs), on normal losses whose
#: seeds vary half as much as recipes 1 was (1.64, 1.43, 1.40 %).
OWN_WEIGHT = 0.5

Losses = Mapping[int, float | None]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a study's confirmation is planned from, beside the runs that there are."""

    #: Runs in all, at most.
    runs: int
    #: Candidates at most; None leaves it to the number of runs.
    top: int | None
    #: The user's own recipe, by its trial's number.
    baseline: int | None
    #: Whether the task has a test set.
    has_test: bool
    #: Differences of the objective that do not matter.
    tolerance: float
    minimize: bool
    #: Seeds from here on are neither the search's nor used before.
    first_seed: int
    #: Losses of the search's own seed by trial number; where few runs choose they take part.
    own: Mapping[int, float] = field(default_factory=dict)

    @property
    def tests(self) -> int:
        """Runs that are kept for the test set."""
        return int(self.has_test and self.runs >= LEAST_WITH_TEST)

    @property
    def shape(self) -> Shape:
        """With a baseline, few runs all compare the search's best with it."""
        runs = self.runs - self.tests
        if self.baseline is not None and self.is_small:
            return Shape(rounds=(), report=runs)
        return shape(runs, self.top)

    @property
    def is_small(self) -> bool:
        """Whether there are too few runs for both choosing and reporting."""
        return self.runs - self.tests <= SMALL_RUNS


def next_runs(setting: Setting, candidates: Sequence[int], runs: Sequence[Run]) -> list[PlannedRun]:
    """The runs that choose or report which are due, once all of `runs` have ended.

    `candidates` are trials by number, the best first; they matter before the first run alone.
    None are due when the winner has been reported, or every candidate has failed a seed.
    """
    if any(run.round != CHOOSE for run in runs) or not (runs or candidates):
        return []
    rounds, left = setting.shape.rounds, setting.runs - len(runs)
    if not runs:
        if rounds and len(candidates) > 1:
            return _choosing(setting, candidates[: rounds[0].candidates], 0, rounds[0].seeds)
        return _reporting(setting, candidates[:1], 0, left)
    own = setting.own if setting.is_small else {}
    standing = standings(runs, minimize=setting.minimize, own=own)
    if not standing:
        return []
    used = 1 + max(run.seed for run in runs) - setting.first_seed
    seeds = len(next(iter(standing.values())))
    following = next((each for each in rounds if each.seeds > used), None)
    # Where all who were further on have failed, the best of those they had beaten is taken.
    chosen = following is None or seeds < used or is_settled(standing, setting.tolerance)
    if following is not None and not chosen:
        due = _choosing(setting, list(standing)[: following.candidates], used, following.seeds)
        # Not so only where the user has made the confirmation smaller since it began.
        if len(due) < left:
            return due
    if left > 0:
        finalists = list(standing)[: 1 if _is_clear(standing, setting.tolerance) else 2]
        most = LEAST_SEEDS if is_deterministic(standing) else None
        return _reporting(setting, finalists, used, left, most)
    return []


def losses_of(
    runs: Sequence[Run], number: int, *, minimize: bool, rounds: Collection[str] = (CHOOSE,)
) -> dict[int, float | None]:
    """Loss by seed of a trial's runs in some rounds; None where one gave no value."""
    sign = 1.0 if minimize else -1.0
    return {
        run.seed: None if run.value is None else sign * run.value
        for run in runs
        if run.round in rounds and run.number == number
    }


def standings(
    runs: Sequence[Run], *, minimize: bool, own: Mapping[int, float] = MappingProxyType({})
) -> dict[int, dict[int, float]]:
    """Losses by seed of the candidates that are furthest in the choice, the best mean first.

    One that failed a seed is out. Of equal means the one comes first that the search ranked first.
    `own` are losses of the search's own seed, which count `OWN_WEIGHT` of a fresh seed's where all
    that are compared have one.
    """
    numbers = dict.fromkeys(run.number for run in runs if run.round == CHOOSE)
    every = {number: losses_of(runs, number, minimize=minimize) for number in numbers}
    scored: dict[int, dict[int, float]] = {}
    for number, losses in every.items():
        finite = {seed: loss for seed, loss in losses.items() if loss is not None}
        if len(finite) == len(losses):
            scored[number] = finite
    most = max(map(len, scored.values()), default=0)
    whole = {number: losses for number, losses in scored.items() if len(losses) == most}
    known = own if whole.keys() <= own.keys() else {}
    ranked = sorted(whole, key=lambda number: _mean(whole[number], known.get(number)))
    return {number: whole[number] for number in ranked}


def _mean(losses: Mapping[int, float], own: float | None) -> float:
    """The mean over fresh seeds, and of the search's own where it takes part."""
    if own is None:
        return sum(losses.values()) / len(losses)
    return (sum(losses.values()) + OWN_WEIGHT * own) / (len(losses) + OWN_WEIGHT)


def is_settled(standing: Mapping[int, Losses], tolerance: float) -> bool:
    """Whether further seeds would change nothing that matters.

    One is left; nothing depends on the seed; the leader is clear of all others; or none differs
    from it by more than the tolerance.
    """
    return (
        len(standing) == 1
        or is_deterministic(standing)
        or _is_clear(standing, tolerance)
        or _is_all_one(standing, tolerance)
    )


def is_deterministic(standing: Mapping[int, Losses]) -> bool:
    """Whether each gives one value on all of several seeds."""
    return all(
        len(losses) >= LEAST_SEEDS and len(set(losses.values())) == 1
        for losses in standing.values()
    )


def _is_clear(standing: Mapping[int, Losses], tolerance: float) -> bool:
    return all(low > tolerance for low, _ in _leads(standing, CLEAR_CONFIDENCE))


def _is_all_one(standing: Mapping[int, Losses], tolerance: float) -> bool:
    leads = _leads(standing, CONFIDENCE)
    return tolerance > 0 and all(-tolerance <= low and high <= tolerance for low, high in leads)


def _leads(standing: Mapping[int, Losses], confidence: float) -> list[tuple[float, float]]:
    """Intervals of how far each rival is behind the leader; unbounded for too few seeds."""
    leader, *rivals = standing.values()
    if len(leader) < CLEAR_SEEDS:
        return [(-math.inf, math.inf) for _ in rivals]
    return [
        interval(list(pairs(rival, leader).values()), confidence) or (-math.inf, math.inf)
        for rival in rivals
    ]


def _choosing(setting: Setting, numbers: Sequence[int], first: int, end: int) -> list[PlannedRun]:
    # Seed by seed: candidates are compared on the same data order and initial weights, and those
    # of a seed train together where trials do.
    return [
        PlannedRun(round=CHOOSE, role=CANDIDATE, number=number, seed=setting.first_seed + seed)
        for seed in range(first, end)
        for number in numbers
    ]


def _reporting(
    setting: Setting, finalists: Sequence[int], used: int, left: int, most: int | None = None
) -> list[PlannedRun]:
    """The finalists and the baseline on the seeds after the first `used`, `most` at most.

    `left` runs are left, for the test set as well.
    What a runner-up who is out would have taken is not spent.
    """
    report = max(1, left - setting.tests)
    if used or not setting.is_small:
        report = min(setting.shape.report, report)
    baseline = setting.baseline if setting.baseline != finalists[0] else None
    roles = {WINNER: finalists[0]}
    if baseline is not None and report >= 2 * LEAST_SEEDS:
        roles[BASELINE] = baseline
    least = RIVAL_SEEDS if baseline is None else LEAST_PAIRS
    shares = len(roles)
    rival = finalists[1] if len(finalists) > 1 else None
    has_role = rival is not None and rival == baseline
    if setting.shape.rounds and report >= (shares + 1) * least and not has_role:
        shares += 1
        if rival is not None:
            roles[RIVAL] = rival
    seeds = min(report // shares, most or report)
    test = TEST_FOLLOWS if setting.tests and left > report else None
    return [
        PlannedRun(round=REPORT, role=role, number=roles[role], seed=seed, test=test)
        for seed in range(setting.first_seed + used, setting.first_seed + used + seeds)
        for role in (WINNER, RIVAL, BASELINE)
        if role in roles
    ]


def test_is_due(runs: Sequence[Run]) -> bool:
    """Whether the runs that report say that one for the test set follows, and it is not there."""
    follows = any(run.round == REPORT and run.test == TEST_FOLLOWS for run in runs)
    return follows and not any(run.round == TEST for run in runs)


def run_for_test(runs: Sequence[Run], recommended: int | None) -> list[PlannedRun]:
    """The run that the test set is used for, if it is due: of the recommended, on a fresh seed."""
    if recommended is None or not test_is_due(runs):
        return []
    seed = 1 + max(run.seed for run in runs if run.round == REPORT)
    return [PlannedRun(round=TEST, role=WINNER, number=recommended, seed=seed)]
