"""How good the best of equally many trials is, group by group: plain values, nothing drawn."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lrsearch.advice.best_of import best_of
from lrsearch.advice.lr_basin import Interval
from lrsearch.report.figures.data.lr_trials import LrTrial
from lrsearch.report.model import Report
from lrsearch.spec.parts import Objective
from lrsearch.trial.states import TrialState

#: Of so many trials the best is expected, or of fewer where few pairs have as many.
MOST_K, LEAST_K = 5, 2
#: Of larger groups so many trials are taken, evenly from the best to the worst.
MOST_TRIALS = 500
#: Width of a group of learning rates.
BIN_DECADES = 0.5


@dataclass(frozen=True, kw_only=True)
class Group:
    """Trials that have something in common, and the best that k of them are expected to reach."""

    optimizer: str
    #: None: of all schedules.
    schedule: str | None
    #: The ends of their learning rates, where these are what they have in common.
    lrs: tuple[float, float] | None
    trials: int
    complete: int
    #: Value of the best complete one; None if none is.
    best: float | None
    #: In the objective's own direction; None for fewer than k trials, and where none has a value.
    expected: Interval | None
    #: Of these, the lowest first: in those of a diverged trial the worst that is known stands.
    losses: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Groups, the best of k trials each."""

    k: int
    groups: tuple[Group, ...]


def by_pair(report: Report) -> Compared:
    """Optimizers and schedules."""
    found: dict[tuple[str, str], list[LrTrial]] = {}
    for trial in report.lr_trials:
        found.setdefault((trial.optimizer, trial.schedule), []).append(trial)
    k = common_k(report)
    objective = report.spec.objective
    return Compared(
        k=k,
        groups=tuple(
            _group(found[pair], k, objective, pair[1]) for pair in _in_order(found, report)
        ),
    )


def by_optimizer(report: Report) -> Compared:
    """Optimizers, whatever the schedule and the learning rate, in the order of the space."""
    found: dict[str, list[LrTrial]] = {}
    for trial in report.lr_trials:
        found.setdefault(trial.optimizer, []).append(trial)
    k, order = common_k(report), list(report.spec.space.optimizers)
    objective = report.spec.objective
    names = sorted(found, key=lambda name: _place(order, name))
    return Compared(k=k, groups=tuple(_group(found[name], k, objective, None) for name in names))


def _in_order(pairs: Iterable[tuple[str, str]], report: Report) -> list[tuple[str, str]]:
    """As the space has them; what it lacks, an enqueued recipe's, comes last."""
    space = report.spec.space
    optimizers, schedules = list(space.optimizers), list(space.schedules)

    def place(pair: tuple[str, str]) -> tuple[int, int]:
        return _place(optimizers, pair[0]), _place(schedules, pair[1])

    return sorted(pairs, key=place)


def _place(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else len(names)


def by_schedule(report: Report, optimizer: str) -> Compared:
    """Schedules of one optimizer, whatever the learning rate."""
    found: dict[str, list[LrTrial]] = {}
    for trial in report.lr_trials:
        if trial.optimizer == optimizer:
            found.setdefault(trial.schedule, []).append(trial)
    k = common_k(report)
    objective = report.spec.objective
    groups = [_group(mine, k, objective, schedule) for schedule, mine in found.items()]
    return Compared(k=k, groups=tuple(groups))


def by_lr(report: Report, optimizer: str) -> Compared:
    """Learning rates of one optimizer, in half decades, whatever the schedule."""
    k = common_k(report)
    found: dict[int, list[LrTrial]] = {}
    for trial in report.lr_trials:
        if trial.optimizer == optimizer:
            found.setdefault(math.floor(math.log10(trial.at) / BIN_DECADES), []).append(trial)
    objective = report.spec.objective
    groups = [
        _group(found[place], k, objective, None, (_end(place), _end(place + 1)))
        for place in sorted(found)
    ]
    return Compared(k=k, groups=tuple(groups))


def _end(place: int) -> float:
    return float(f"{10 ** (place * BIN_DECADES):.2g}")


def common_k(report: Report) -> int:
    """Of how many trials the best is expected: one number for all groups of a report.

    It is the largest, within bounds, for which two pairs of optimizer and schedule or more, with at
    least half of the trials, have as many.
    """
    pairs = Counter(
        (trial.optimizer, trial.schedule)
        for trial in report.lr_trials
        if trial.state != TrialState.FAILED
    )
    sizes = list(pairs.values())
    for k in range(MOST_K, LEAST_K, -1):
        enough = [size for size in sizes if size >= k]
        if 2 * sum(enough) >= sum(sizes) and len(enough) >= 2:
            return k
    return LEAST_K


def _group(
    trials: Sequence[LrTrial],
    k: int,
    objective: Objective,
    schedule: str | None,
    lrs: tuple[float, float] | None = None,
) -> Group:
    counted = [trial for trial in trials if trial.state != TrialState.FAILED]
    known = [objective.loss(trial.value) for trial in counted if trial.value is not None]
    complete = [
        objective.loss(trial.value)
        for trial in counted
        if trial.state == TrialState.COMPLETE and trial.value is not None
    ]
    # Of those without a value the worst that is known stands in: their own loss is unbounded.
    losses = known + [max(known)] * (len(counted) - len(known)) if known else []
    expected, losses = None, _evenly(sorted(losses))
    if len(losses) >= k:
        found = best_of(losses, k)
        ends = sorted((objective.loss(found.low), objective.loss(found.high)))
        expected = Interval(value=objective.loss(found.value), low=ends[0], high=ends[1])
    return Group(
        optimizer=trials[0].optimizer,
        schedule=schedule,
        lrs=lrs,
        trials=len(counted),
        complete=len(complete),
        best=objective.loss(min(complete)) if complete else None,
        expected=expected,
        losses=tuple(losses),
    )


def _evenly(losses: Sequence[float]) -> list[float]:
    step = max(1.0, len(losses) / MOST_TRIALS)
    return [losses[int(i * step)] for i in range(min(len(losses), MOST_TRIALS))]
