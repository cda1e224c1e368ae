"""What a ladder of short runs says of a long one, beside what people do: replayed recorded tables.

Every run that is asked for is looked up in tables of real runs: task, optimizer, schedule, horizon,
learning rate, seed. The ladder's plan, optima, law and answer are the service's own functions. The
cells of a task are one cluster: means are over tasks, spreads from resampling tasks.
Run it: python benchmarks/transfer.py
"""

import argparse
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from lrsearch.confirmation.statistics import t_quantile
from lrsearch.transfer.answer import Answer, answer
from lrsearch.transfer.plan import next_runs
from lrsearch.transfer.runs import Ladder, Run

TABLES = Path(__file__).resolve().parent / "data" / "transfer"
HORIZONS = (1, 2, 4, 8, 16, 32, 64)
SCHEDULES = ("linear", "cosine", "wsd")
RUNGS = (1, 2, 4, 8)
#: Share of an interval, and what a miss counts beside its width (Gneiting and Raftery 2007).
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
        return Said(cost=cost, lr=lr, interval=found.interval, refused=found.lr is None)

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


METHODS: dict[str, Method] = {
    "ladder, no probes": ladder_of(0),
    "ladder and 3 probes": ladder_of(3),
    "same lr": rule(0.0),
    "T^-1/3": rule(-1 / 3),
    "power law": power_law,
    "direct, 5 lrs": direct(4),
    "direct, 5 + 2": direct(4, around=2),
    "direct, 9 x 3 seeds": direct(2, seeds=3),
}


@dataclass
class Score:
    """What a method came to, one value for each cell and seed, by task."""

    regret: dict[str, list[float]] = field(default_factory=dict)
    cost: dict[str, list[float]] = field(default_factory=dict)
    covers: dict[str, list[float]] = field(default_factory=dict)
    score: dict[str, list[float]] = field(default_factory=dict)
    refused: dict[str, list[float]] = field(default_factory=dict)

    def add(self, cell: Cell, said: Said) -> None:
        self.regret.setdefault(cell.task, []).append(100 * cell.regret(said.lr))
        self.cost.setdefault(cell.task, []).append(said.cost)
        self.refused.setdefault(cell.task, []).append(float(said.refused))
        if said.interval is not None:
            low, high = map(math.log, said.interval)
            miss = max(low - cell.best, cell.best - high, 0.0)
            self.covers.setdefault(cell.task, []).append(float(miss == 0))
            self.score.setdefault(cell.task, []).append(high - low + 2 / ALPHA * miss)


def summary(values: dict[str, list[float]], rng: np.random.Generator) -> dict[str, Any] | None:
    """Mean over tasks, the central 90 % of means over resampled tasks, and the mean by task."""
    if not values:
        return None
    by_task = {task: float(np.mean(each)) for task, each in values.items()}
    means = np.array(list(by_task.values()))
    drawn = means[rng.integers(0, len(means), size=(4000, len(means)))].mean(1)
    low, high = np.quantile(drawn, [0.05, 0.95])
    return {"mean": float(means.mean()), "low": float(low), "high": float(high), "tasks": by_task}


def load(folder: Path, kind: str, tasks: Sequence[str]) -> list[Cell]:
    """The cells of all tables in a folder. Raises SystemExit if there is none."""
    cells = []
    for path in sorted(folder.glob("*.npz")):
        task, optimizer = path.stem.rsplit("_", 1)
        if tasks and task not in tasks:
            continue
        table = np.load(path)
        cells += [
            Cell(
                task=task,
                name=f"{task} {optimizer} {schedule}",
                lrs=table["lrs"],
                losses=table[kind][:, i],
            )
            for i, schedule in enumerate(SCHEDULES)
        ]
    if not cells:
        raise SystemExit(f"no table TASK_OPTIMIZER.npz of these tasks in {folder}")
    return cells


def replay(cells: Sequence[Cell], seeds: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    result = {}
    for name, method in METHODS.items():
        score = Score()
        for cell in cells:
            for seed in range(seeds):
                score.add(cell, method(cell, seed))
        result[name] = {key: summary(values, rng) for key, values in vars(score).items()}
    return result


def show(result: dict[str, Any]) -> None:
    print(f"{'method':22} {'regret %':>20} {'cost':>6} {'covers':>7} {'score':>18} {'refused':>8}")
    for name, found in result.items():
        regret, cost, refused = found["regret"], found["cost"], found["refused"]
        line = f"{name:22} {regret['mean']:6.1f} ({regret['low']:4.1f} .. {regret['high']:4.1f})"
        line += f" {cost['mean']:6.1f}"
        if found["covers"] is None:
            print(f"{line} {'-':>7} {'-':>18} {'-':>8}")
            continue
        score = found["score"]
        spread = f"({score['low']:4.1f} .. {score['high']:4.1f})"
        line += f" {found['covers']['mean']:7.2f} {score['mean']:4.1f} {spread}"
        print(f"{line} {refused['mean']:8.2f}")
    print("\ncoverage by task; regret % by task")
    for name, found in result.items():
        covers = found["covers"]["tasks"] if found["covers"] else {}
        told = "  ".join(f"{task} {share:.2f}" for task, share in covers.items())
        regrets = "  ".join(f"{t} {r:.1f}" for t, r in found["regret"]["tasks"].items())
        print(f"{name:22} {told}\n{'':22} {regrets}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of TASK_OPTIMIZER.npz")
    parser.add_argument("--objective", choices=("last", "best"), default="last")
    parser.add_argument("--seeds", type=int, default=4, help="replays of each cell (4)")
    parser.add_argument("--task", action="append", default=[], help="this task only; repeatable")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cells = load(options.tables, options.objective, options.task)
    result = replay(cells, options.seeds)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"{len(cells)} cells, {options.seeds} seeds each, objective {options.objective}")
        show(result)


if __name__ == "__main__":
    main()
