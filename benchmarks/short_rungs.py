"""How many rungs a short run needs: what a search finds with all three, and without one of them.

The random recipes of rung_samples.py are trained for `--epochs` on small sets, and compared on the
whole validation set at steps 4, 11 and 33 % of the way. A planned search of 10 and of 20 runs'
epochs and the asynchronous rule are replayed on the same orders of the same runs.
Run it: python benchmarks/short_rungs.py --tasks digits resnet8 --epochs 1
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from replay_plan import Search
from replay_rules import halving
from replay_scores import at, regrets
from replay_table import Table
from rung_samples import TASKS, record, replayed

from lrsearch.trial.halving import make_stages

#: Budgets of planned searches, in runs to the end; that of the asynchronous rule.
PLANNED, ASYNCHRONOUS = (10, 20), 20


def regret(table: Table, steps: Sequence[int], orders: int) -> np.ndarray:
    """Above the best run's loss, of each search [O, 3]; runs are compared at these steps."""
    *rungs, end = steps
    stages = [make_stages(float(budget * end), steps) for budget in PLANNED]
    rows = []
    for number in range(orders):
        order = np.random.default_rng([0, number]).permutation(len(table.runs))
        runs = [table.runs[i] for i in order]
        row = [
            regrets(table, Search(runs, each, lambda _: steps).carry_out())[at(budget)]
            for each, budget in zip(stages, PLANNED, strict=True)
        ]
        ended = halving(runs, placed=lambda _: {step: i for i, step in enumerate(rungs)})
        rows.append([*row, regrets(table, ended)[at(ASYNCHRONOUS)]])
    return np.array(rows)


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    task = TASKS[name]()
    runs, steps = record(task, options.runs, options.epochs)
    table = replayed(runs, steps, np.arange(len(task.validation[1])))
    base = regret(table, steps, options.orders)
    without = {}
    for rung in steps[:-1]:
        kept = [step for step in steps if step != rung]
        without[rung] = spread(regret(table, kept, options.orders) - base)
    return {
        "task": name,
        "epochs": options.epochs,
        "runs": len(runs),
        "orders": options.orders,
        "steps": list(steps),
        "regret": spread(base),
        "without": without,
    }


def spread(values: np.ndarray) -> list[tuple[float, float]]:
    """Mean and standard error of each column."""
    errors = values.std(axis=0) / math.sqrt(len(values))
    return list(zip(values.mean(axis=0).tolist(), errors.tolist(), strict=True))


def lines(result: dict[str, Any]) -> list[str]:
    *rungs, end = result["steps"]
    length = "1 epoch" if result["epochs"] == 1 else f"{result['epochs']} epochs"
    title = f"{result['task']}, {length}: rungs at {', '.join(map(str, rungs))}"
    rows = [(f"{title} of {end}", result["regret"], "")]
    rows += [(f"without {rung}", lost, "+") for rung, lost in result["without"].items()]
    return [
        f"{label:48}" + "".join(f"{f'{mean:{sign}.4f} +- {error:.4f}':>20}" for mean, error in row)
        for label, row, sign in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=[*TASKS], metavar="TASK")
    parser.add_argument("--epochs", type=int, default=1, help="of each run (1)")
    parser.add_argument("--runs", type=int, default=300, help="recipes (300)")
    parser.add_argument("--orders", type=int, default=150, help="orders of the runs (150)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    if min(options.epochs, options.runs, options.orders) < 1:
        parser.error("--epochs, --runs and --orders: at least 1 is needed")
    torch.set_num_threads(1)
    results = []
    if not options.json:
        print("regret, and what is added without a rung, paired; mean +- standard error")
        heads = [
            *(f"planned, {budget} runs" for budget in PLANNED),
            f"asynchronous, {ASYNCHRONOUS}",
        ]
        print(" " * 48 + "".join(f"{head:>20}" for head in heads))
    for name in options.tasks:
        print(f"{name} ...", file=sys.stderr)
        results.append(measure(name, options))
        if not options.json:
            print("\n".join(lines(results[-1])), flush=True)
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
