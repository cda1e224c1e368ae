"""What a ladder of short runs says of a long one, beside what people do: replayed recorded tables.

Every run that is asked for is looked up in tables of real runs: task, optimizer, schedule, horizon,
learning rate, seed. The ladder's plan, optima, law and answer are the service's own functions. The
cells of a task are one cluster: means are over tasks, spreads from resampling tasks. First come the
tables that the constants were set on, then those that they were not.
Run it: python benchmarks/transfer.py
"""

import argparse
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from transfer_methods import (
    ALPHA,
    CAREFUL,
    GUESS,
    METHODS,
    PROBES,
    RULES,
    SCHEDULES,
    THOROUGH,
    Cell,
    Said,
)

TABLES = Path(__file__).resolve().parent / "data" / "transfer"
HELD_OUT = TABLES / "held_out"
#: Coverage that is asked for on each task, and the share of the cost of direct searches.
COVERAGE, OF_CAREFUL, OF_THOROUGH = 0.85, 0.9, 1 / 3


@dataclass
class Score:
    """What a method came to, one value for each cell and seed, by task."""

    regret: dict[str, list[float]] = field(default_factory=dict)
    cost: dict[str, list[float]] = field(default_factory=dict)
    covers: dict[str, list[float]] = field(default_factory=dict)
    score: dict[str, list[float]] = field(default_factory=dict)
    refused: dict[str, list[float]] = field(default_factory=dict)
    #: Regret where a kink was flagged, and where none was.
    kinked: dict[str, list[float]] = field(default_factory=dict)
    straight: dict[str, list[float]] = field(default_factory=dict)

    def add(self, cell: Cell, said: Said) -> None:
        regret = 100 * cell.regret(said.lr)
        self.regret.setdefault(cell.task, []).append(regret)
        bent = self.kinked if said.has_kink else self.straight
        bent.setdefault(cell.task, []).append(regret)
        self.cost.setdefault(cell.task, []).append(said.cost)
        self.refused.setdefault(cell.task, []).append(float(said.refused))
        if said.interval is not None:
            low, high = map(math.log, said.interval)
            miss = max(low - cell.best, cell.best - high, 0.0)
            self.covers.setdefault(cell.task, []).append(float(miss == 0))
            self.score.setdefault(cell.task, []).append(high - low + 2 / ALPHA * miss)


def summary(values: dict[str, list[float]], rng: np.random.Generator) -> dict[str, Any] | None:
    """Mean over tasks, central 90 % of means over resampled tasks, means by task, how many."""
    if not values:
        return None
    by_task = {task: float(np.mean(each)) for task, each in values.items()}
    means = np.array(list(by_task.values()))
    drawn = means[rng.integers(0, len(means), size=(4000, len(means)))].mean(1)
    low, high = np.quantile(drawn, [0.05, 0.95])
    found = {"mean": float(means.mean()), "low": float(low), "high": float(high)}
    return {**found, "tasks": by_task, "count": sum(map(len, values.values()))}


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
            for seed in range(min(seeds, cell.losses.shape[-1])):
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


def bars(result: dict[str, Any]) -> Iterator[tuple[str, float, float, bool]]:
    """What is asked for, what was found, its bound, and whether it is reached."""
    careful, thorough, probes = result[CAREFUL], result[THOROUGH], result[PROBES]

    def at_most(what: str, found: float, bound: float) -> tuple[str, float, float, bool]:
        return what, found, bound, found <= bound

    regret, cost = probes["regret"]["mean"], probes["cost"]["mean"]
    yield at_most(f"regret %, at most that of {CAREFUL}", regret, careful["regret"]["mean"])
    yield at_most(f"cost, at most .9 of {CAREFUL}", cost, OF_CAREFUL * careful["cost"]["mean"])
    yield at_most(
        f"cost, at most a third of {THOROUGH}", cost, OF_THOROUGH * thorough["cost"]["mean"]
    )
    for name in (PROBES, GUESS):
        least = min(result[name]["covers"]["tasks"].values())
        yield f"{name}: least coverage of a task", least, COVERAGE, least >= COVERAGE
        bound = min(result[rule]["score"]["mean"] for rule in RULES)
        yield at_most(
            f"{name}: score, at most {' and '.join(RULES)}", result[name]["score"]["mean"], bound
        )


def show_bars(result: dict[str, Any]) -> None:
    print()
    for what, found, bound, reached in bars(result):
        print(f"{what:52} {found:6.2f} {bound:6.2f}  {'reached' if reached else 'NOT reached'}")
    kinked, straight = result[GUESS]["kinked"], result[GUESS]["straight"]
    if kinked is not None and straight is not None:
        print(
            f"regret of {kinked['count']} guesses with a kink {kinked['mean']:.1f} %, of "
            f"{straight['count']} others {straight['mean']:.1f} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--tables", type=Path, action="append", help="folder of TASK_OPTIMIZER.npz; repeatable"
    )
    parser.add_argument("--objective", choices=("last", "best"), default="last")
    parser.add_argument("--seeds", type=int, default=4, help="replays of each cell at most (4)")
    parser.add_argument("--task", action="append", default=[], help="this task only; repeatable")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = {}
    for folder in options.tables or (TABLES, HELD_OUT):
        cells = load(folder, options.objective, options.task)
        results[folder.name] = replay(cells, options.seeds)
        if not options.json:
            print(f"{folder.name}: {len(cells)} cells, objective {options.objective}")
            show(results[folder.name])
            show_bars(results[folder.name])
            print()
    if options.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
