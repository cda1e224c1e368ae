"""Ways to find the learning rate of a long run, on recorded tables: what each says and costs."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lrsearch.confirmation.statistics import t_quantile
from lrsearch.transfer.answer import Answer, answer
from lrsearch.transfer.plan import next_runs
from lrsearch.transfer.runs import Ladder, Run

HORIZONS = (1, 2, 4, 8, 16, 32, 64)
SCHEDULES = ("linear", "cosine", "wsd")
RUNGS = (1, 2, 4, 8)
#: Share that an interval leaves out.
ALPHA = 0.1
#: ln of the factor that people allow around a rule of thumb.
AROUND = math.log(4)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A task's runs of one optimizer and schedule."""

    task: str
    name: str
    lrs: np.ndarray  # [L], peak learning rates
    losses: np.ndarray  # [7 horizons, L, seeds]; not finite where a run diverged

    @property
    def truth(self) -> np.ndarray:
        """Mean over seeds of ln loss at the longest horizon, [L]; infinite if one diverged."""
        with np.errstate(invalid="ignore"):
            means = np.log(self.losses[-1]).mean(-1)
        return np.where(np.isfinite(means), means, np.inf)

    @property
    def best(self) -> float:
        """ln of the best learning rate: the vertex through the least mean and its neighbours."""
        y = self.truth
        i = int(y.argmin())
        x = np.log(self.lrs)
        if i in (0, len(y) - 1) or not np.isfinite(y[i - 1 : i + 2]).all():
            return float(x[i])
        a, b, _ = np.polyfit(x[i - 1 : i + 2] - x[i], y[i - 1 : i + 2], 2)
        return float(x[i] - b / (2 * a))

    def place(self, lr: float) -> int:
        """The place of the nearest learning rate in the table."""
        return int(np.abs(np.log(self.lrs) - math.log(lr)).argmin())

    def regret(self, lr: float) -> float:
        """By which share the long run's loss at this lr is above the least."""
        truth = self.truth
        rise = truth[self.place(lr)] - truth.min()
        return math.expm1(min(rise, math.log(100)))

    def run(self, horizon: int, lr: float, seed: int) -> Run:
        """A run as it was recorded; outside of the table it counts as diverged."""
        spacing = math.log(self.lrs[1] / self.lrs[0])
        off = math.log(lr / self.lrs[0]) / spacing
        loss = math.nan
        if -0.5 < off < len(self.lrs) - 0.5:
            loss = float(self.losses[HORIZONS.index(horizon), round(off), seed])
        told = loss if math.isfinite(loss) and loss > 0 else None
        return Run(horizon=horizon, lr=lr, seed=seed, loss=told)


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a method says of a cell."""

    #: Full runs that it was charged for.
    cost: float
    lr: float
    interval: tuple[float, float] | None = None
    refused: bool = False
    has_kink: bool = False


Method = Callable[[Cell, int], Said]


def climb(cell: Cell, seed: int, *, probes: int) -> tuple[Answer, float]:
    """A whole ladder, run after run as the service plans it; and what it cost in full runs."""
    ladder = Ladder(
        horizons=RUNGS,
        to=HORIZONS[-1],
        centre=float(cell.lrs[len(cell.lrs) // 2]),
        probes=probes,
        first_seed=seed,
    )
    runs: list[Run] = []
    while due := next_runs(ladder, runs):
        runs += [cell.run(each.horizon, each.lr, each.seed) for each in due]
    found = answer(ladder, runs)
    assert found is not None
    return found, found.cost.total / HORIZONS[-1]


def ladder_of(probes: int) -> Method:
    def say(cell: Cell, seed: int) -> Said:
        found, cost = climb(cell, seed, probes=probes)
        lr = found.lr or found.optima[-1].lr
        return Said(
            cost=cost,
            lr=lr,
            interval=found.interval,
            refused=found.lr is None,
            has_kink="kink" in found.flags,
        )

    return say


def rule(slope: float) -> Method:
    """The longest rung's optimum, moved by a fixed power of the horizon; a factor 4 around it."""

    def say(cell: Cell, seed: int) -> Said:
        found, cost = climb(cell, seed, probes=0)
        x = found.longest.x + slope * math.log(HORIZONS[-1] / found.longest.horizon)
        interval = (math.exp(x - AROUND), math.exp(x + AROUND))
        return Said(cost=cost, lr=math.exp(x), interval=interval)

    return say


def power_law(cell: Cell, seed: int) -> Said:
    """A line through the rungs' optima by least squares, with its interval of prediction."""
    found, cost = climb(cell, seed, probes=0)
    j = np.array([math.log2(each.horizon) for each in found.rungs])
    x = np.array([each.x for each in found.rungs])
    to = math.log2(HORIZONS[-1])
    if len(x) < 3:
        return Said(cost=cost, lr=found.longest.lr, refused=True)
    slope, intercept = np.polyfit(j, x, 1)
    rest = x - slope * j - intercept
    spread = math.sqrt(float(rest @ rest) / (len(x) - 2))
    lever = math.sqrt(1 + 1 / len(x) + (to - j.mean()) ** 2 / float(((j - j.mean()) ** 2).sum()))
    half = t_quantile(1 - ALPHA, len(x) - 2) * spread * lever
    middle = slope * to + intercept
    interval = (math.exp(middle - half), math.exp(middle + half))
    return Said(cost=cost, lr=math.exp(middle), interval=interval)


def direct(spacing: int, *, seeds: int = 1, around: int = 0) -> Method:
    """Full runs alone, so many places of the table apart; then two more around the best."""

    def say(cell: Cell, seed: int) -> Said:
        count, total = len(cell.lrs), cell.losses.shape[-1]
        drawn = [(seed + i) % total for i in range(seeds)]
        with np.errstate(invalid="ignore"):
            means = np.log(cell.losses[-1][:, drawn]).mean(-1)
        means = np.where(np.isfinite(means), means, np.inf)
        tried = list(range((count // 2) % spacing, count, spacing))
        best = min(tried, key=lambda i: means[i])
        more = [i for i in (best - around, best + around) if around and 0 <= i < count]
        chosen = min([*tried, *more], key=lambda i: means[i])
        return Said(cost=seeds * (len(tried) + len(more)), lr=float(cell.lrs[chosen]))

    return say


#: Those that the bar is about.
GUESS, PROBES = "ladder, no probes", "ladder and 3 probes"
CAREFUL, THOROUGH = "direct, 5 + 2", "direct, 9 x 3 seeds"
RULES = ("same lr", "T^-1/3")
METHODS: dict[str, Method] = {
    GUESS: ladder_of(0),
    PROBES: ladder_of(3),
    "same lr": rule(0.0),
    "T^-1/3": rule(-1 / 3),
    "power law": power_law,
    "direct, 5 lrs": direct(4),
    CAREFUL: direct(4, around=2),
    THOROUGH: direct(2, seeds=3),
}
