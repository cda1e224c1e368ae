"""Which runs of a ladder are due next, a pure function of those that have ended; and their cost."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from lrsearch.transfer import batch, constants
from lrsearch.transfer.law import Measured, predict
from lrsearch.transfer.optimum import Optimum, find_optimum
from lrsearch.transfer.runs import Ladder, PlannedRun, Run
from lrsearch.transfer.trunk import Trunk


def next_runs(ladder: Ladder, runs: Sequence[Run]) -> list[PlannedRun]:
    """The runs that are due once all of `runs` have ended; none if the ladder is complete.

    Each rung is centred on what the rungs below predict. While its least loss lies on an end, one
    learning rate beyond it follows, `EXTENSIONS` at most; a rung that then is open still ends the
    ladder. So does a loss that is not above 0, which has no logarithm, and a batch that is refused.
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
        beyond = _beyond(ladder, mine)
        if beyond is not None:
            may_extend = _extensions(ladder, rung, mine) < constants.EXTENSIONS
            return _runs(ladder, horizon, [beyond]) if may_extend else []
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


def _beyond(ladder: Ladder, runs: Sequence[Run]) -> int | None:
    """The place next to the end that the least loss lies on; None if it lies on none.

    Where every run diverged it is the lower end.
    """
    losses: dict[int, list[float]] = defaultdict(list)
    for run in runs:
        losses[ladder.place(math.log(run.lr))].append(
            math.inf if run.loss is None else math.log(run.loss)
        )
    means = {place: sum(each) / len(each) for place, each in losses.items()}
    best = min(means, key=lambda place: (means[place], place))
    if best == min(means):
        return best - 2
    return best + 2 if best == max(means) else None


def _extensions(ladder: Ladder, rung: int, runs: Sequence[Run]) -> int:
    """How many learning rates a rung has beyond its first ones."""
    return len({run.lr for run in runs}) - ladder.points(rung)


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
    """Of a ladder that no rung of which is extended."""
    return _cost(ladder, extensions=0)


def worst_cost(ladder: Ladder) -> Cost:
    """Of a ladder whose every rung is extended as often as it may be."""
    return _cost(ladder, extensions=constants.EXTENSIONS)


def _from_trunks(ladder: Ladder, trunk: Trunk, counts: Sequence[int]) -> list[float]:
    """What each rung trains, if its learning rates are among those of the rung below."""
    found = []
    for rung, (horizon, count) in enumerate(zip(ladder.rungs, counts, strict=True)):
        shared = min(count, counts[rung - 1]) if rung else 0
        own = trunk.trained(horizon, ladder.rungs[:rung])
        found.append(shared * own + (count - shared) * horizon)
    return found


def _cost(ladder: Ladder, *, extensions: int) -> Cost:
    counts = [
        (ladder.points(rung) + extensions) * ladder.seeds for rung in range(len(ladder.rungs))
    ]
    paid: list[float] = [n * horizon for n, horizon in zip(counts, ladder.rungs, strict=True)]
    if ladder.trunk is not None and not extensions:
        paid = _from_trunks(ladder, ladder.trunk, counts)
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
