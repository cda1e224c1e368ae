"""Which runs of a ladder are due next, a pure function of those that have ended; and their cost."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lrsearch.transfer import batch, constants
from lrsearch.transfer.law import Measured, predict
from lrsearch.transfer.optimum import Optimum, find_optimum
from lrsearch.transfer.runs import Ladder, PlannedRun, Run
from lrsearch.transfer.trunk import Trunk


def next_runs(ladder: Ladder, runs: Sequence[Run]) -> list[PlannedRun]:
    """The runs that are due once all of `runs` have ended; none if the ladder is complete.

    Each rung is centred on what the rungs below predict. While its least loss lies on an end, one
    learning rate beyond it follows; a rung that is open after `EXTENSIONS` more ends the ladder.
    So does a loss that is not above 0, which has no logarithm, and a batch that is refused. The
    full horizon's rung goes on with what `_deciding` says.
    """
    if not_positive(runs) is not None:
        return []
    trained = by_horizon(ladder, runs)
    found: list[Optimum] = []
    for rung, horizon in enumerate(ladder.rungs):
        mine = trained[horizon]
        if not mine:
            if horizon == ladder.to and batch.refusal(ladder.batch, found[-1]):
                return []
            return _runs(ladder, horizon, first_places(ladder, rung, found))
        means = _means(ladder, mine)
        may_extend = len(means) < _most(ladder, rung)
        beyond = _beyond(means)
        if beyond is not None:
            return _runs(ladder, horizon, [beyond]) if may_extend else []
        if horizon == ladder.to and may_extend:
            deciding = _deciding(ladder, found, mine)
            if deciding is not None:
                return _runs(ladder, horizon, [deciding])
        found.append(find_optimum(mine, found[-1] if found else None))
    return []


def not_positive(runs: Sequence[Run]) -> float | None:
    """A loss that is not above 0; None if there is none."""
    return next((run.loss for run in runs if run.loss is not None and run.loss <= 0), None)


def by_horizon(ladder: Ladder, runs: Sequence[Run]) -> dict[int, list[Run]]:
    """The runs of each rung; none for one that has none."""
    trained: dict[int, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.lr, run.seed)):
        trained[run.horizon].append(run)
    return {horizon: trained[horizon] for horizon in ladder.rungs}


def measured(ladder: Ladder, optima: Sequence[Optimum]) -> list[Measured]:
    """The optima as the law takes them."""
    return [
        Measured(octaves=ladder.octaves(each.horizon), x=each.x, spread=each.spread)
        for each in optima
    ]


def first_places(ladder: Ladder, rung: int, below: Sequence[Optimum]) -> list[int]:
    """Places on the grid of a rung's first learning rates, rising, a step apart."""
    middle = 0
    if below:
        horizon = ladder.rungs[rung]
        predicted = predict(measured(ladder, below), ladder.octaves(horizon))
        shift = ladder.shift if horizon == ladder.to else 0.0
        middle = ladder.place(predicted.likeliest.x + shift)
    count = ladder.points(rung)
    return [middle + 2 * (i - (count - 1) // 2) for i in range(count)]


def _runs(ladder: Ladder, horizon: int, places: Sequence[int]) -> list[PlannedRun]:
    seeds = range(ladder.first_seed, ladder.first_seed + ladder.seeds)
    return [
        PlannedRun(horizon=horizon, lr=ladder.lr(place), seed=seed)
        for place in places
        for seed in seeds
    ]


def _most(ladder: Ladder, rung: int) -> int:
    """How many learning rates a rung has at most.

    The full horizon's may also get the one that is predicted if overfitting limits.
    """
    is_full = ladder.rungs[rung] == ladder.to
    return ladder.points(rung) + constants.EXTENSIONS + is_full


def _means(ladder: Ladder, runs: Sequence[Run]) -> dict[int, float]:
    """Mean ln loss of each place on the grid; infinite where a run diverged."""
    losses: dict[int, list[float]] = defaultdict(list)
    for run in runs:
        losses[ladder.place(math.log(run.lr))].append(
            math.inf if run.loss is None else math.log(run.loss)
        )
    return {place: sum(each) / len(each) for place, each in losses.items()}


def _beyond(means: Mapping[int, float]) -> int | None:
    """A place a step from the best on a side where nothing is so near; None if there is none.

    Where every run diverged it is the lower end.
    """
    best = min(means, key=lambda place: (means[place], place))
    if not {best - 2, best - 1} & set(means):
        return best - 2
    return None if {best + 1, best + 2} & set(means) else best + 2


def _deciding(ladder: Ladder, below: Sequence[Optimum], runs: Sequence[Run]) -> int | None:
    """The next place of the full horizon, once its best has neighbours; None if there is none.

    Where no long run is better than the longest short ones, training longer does harm at these
    rates: then the rate follows that is predicted if overfitting limits. In the end the best gets a
    neighbour half a step away, on the side where the vertex of its parabola lies, unless the rung
    has `HALF_STEPS_UNTIL` rates beside its first ones by then. Losses of another batch are not
    compared with those of the short runs, and the rates of a trunk stay whole steps apart.
    """
    means = _means(ladder, runs)
    best = min(means, key=lambda place: (means[place], place))
    if ladder.batch is None and means[best] >= below[-1].best.y:
        limited = ladder.place(_overfitting(ladder, below))
        if limited < min(means):
            return limited
    if ladder.trunk is not None or len(means) - ladder.probes >= constants.HALF_STEPS_UNTIL:
        return None
    optimum = find_optimum(runs, below[-1])
    beside = best + 1 if optimum.x > optimum.best.x else best - 1
    return None if beside in means else beside


def _overfitting(ladder: Ladder, below: Sequence[Optimum]) -> float:
    """The best ln lr of the full horizon if overfitting limits."""
    branches = predict(measured(ladder, below), ladder.octaves(ladder.to)).branches
    return next(branch.x for branch in branches if branch.regime is constants.OVERFITTING)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a ladder takes, in its unit of horizons."""

    ladder: float
    probes: float
    runs: int

    @property
    def total(self) -> float:
        return self.ladder + self.probes


def expected_cost(ladder: Ladder) -> Cost:
    """Of a ladder that no rung of which is extended, with the half step that ends the probes."""
    counts = [ladder.points(rung) for rung in range(len(ladder.rungs))]
    if ladder.probes and ladder.trunk is None:
        counts[-1] += 1
    return _cost(ladder, counts, ladder.trunk)


def worst_cost(ladder: Ladder) -> Cost:
    """Of a ladder whose every rung is extended as often as it may be."""
    return _cost(ladder, [_most(ladder, rung) for rung in range(len(ladder.rungs))], None)


def _from_trunks(ladder: Ladder, trunk: Trunk, counts: Sequence[int]) -> list[float]:
    """What each rung trains, if its learning rates are among those of the rung below."""
    found = []
    for rung, (horizon, count) in enumerate(zip(ladder.rungs, counts, strict=True)):
        shared = min(count, counts[rung - 1]) if rung else 0
        own = trunk.trained(horizon, ladder.rungs[:rung])
        found.append(shared * own + (count - shared) * horizon)
    return found


def _cost(ladder: Ladder, lrs: Sequence[int], trunk: Trunk | None) -> Cost:
    """Of so many learning rates on each rung."""
    counts = [count * ladder.seeds for count in lrs]
    paid: list[float] = [n * horizon for n, horizon in zip(counts, ladder.rungs, strict=True)]
    if trunk is not None:
        paid = _from_trunks(ladder, trunk, counts)
    probes = paid[-1] if ladder.probes else 0
    measuring = 0 if ladder.batch is None else ladder.horizons[-1]
    runs = sum(counts) + (ladder.batch is not None)
    return Cost(ladder=sum(paid) - probes + measuring, probes=probes, runs=runs)


def paid(ladder: Ladder, runs: Sequence[Run]) -> Cost:
    """What these runs took; one that diverged counts as whole.

    With a trunk, one that goes on from another counts from there on.
    """
    took = _took(ladder, runs)
    probes = sum(cost for run, cost in zip(runs, took, strict=True) if run.horizon == ladder.to)
    total = sum(took)
    has_measured = ladder.batch is not None and ladder.batch.is_known
    measuring = ladder.horizons[-1] if has_measured else 0
    return Cost(ladder=total - probes + measuring, probes=probes, runs=len(runs) + has_measured)


def _took(ladder: Ladder, runs: Sequence[Run]) -> list[float]:
    """What each run trained itself."""
    if ladder.trunk is None:
        return [run.horizon for run in runs]
    complete: dict[tuple[float, int], list[int]] = defaultdict(list)
    for run in runs:
        if run.loss is not None:
            complete[run.lr, run.seed].append(run.horizon)
    return [ladder.trunk.trained(run.horizon, complete[run.lr, run.seed]) for run in runs]
