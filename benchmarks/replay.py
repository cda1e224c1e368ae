"""How much pruning is worth: rules replayed on recorded runs, beside no pruning and Optuna's.

Runs are drawn one after another in random order; a rule spends epochs on them, and only those are
charged. Run it: python benchmarks/replay.py --data imagenet_alexnet.jsonl.gz
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import replay_plan
import replay_scores as scores
from replay_rules import RULES, rules_of
from replay_table import Table, TableError, read_table

#: Rules that are always replayed: what the others are measured by.
REFERENCES = ("none", "median")
DEFAULT_RULES = ("planned", "asynchronous", "none", "median", "hyperband", "asha-epochs")
#: Rules that know the budget beforehand, and where their rungs are.
PLANS = {"planned": replay_plan.ends_at_progress, "planned-fall": replay_plan.ends_after_fall}
MEANINGS = RULES | {
    "planned": f"planned halving from {replay_plan.LEAST}x on, below it asynchronous; the default",
    "planned-fall": "the same, with rungs counted from where the learning rate begins to fall",
}
#: Orders that a process takes at a time, and those between two lines of progress.
CHUNK, REPORTED = 4, 20

_table: Table  # of a process of the pool


def replay_order(table: Table, names: Sequence[str], seed: int, number: int) -> np.ndarray:
    """Regret of each rule at each budget [R, B], all on the same order of runs."""
    order = np.random.default_rng([seed, number]).permutation(len(table.runs))
    runs = [table.runs[i] for i in order]
    rules = rules_of(table, number)
    return np.array(
        [
            replay_plan.regrets(table, runs, PLANS[name])
            if name in PLANS
            else scores.regrets(table, rules[name](runs))
            for name in names
        ]
    )


def _set_up(table: Table) -> None:
    global _table
    _table = table


def _replay(job: tuple[Sequence[str], int, int]) -> np.ndarray:
    return replay_order(_table, *job)


def replay_orders(table: Table, options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Regret of each rule [O, B] over all orders."""
    jobs = [(options.rules, options.seed, number) for number in range(options.orders)]
    found: list[np.ndarray] = []
    with multiprocessing.Pool(options.processes, _set_up, (table,)) as pool:
        for regret in pool.imap(_replay, jobs, chunksize=CHUNK):
            found.append(regret)
            if len(found) % REPORTED == 0:
                print(f"{len(found)} of {len(jobs)} orders", file=sys.stderr)
    return dict(zip(options.rules, np.array(found).transpose(1, 0, 2), strict=True))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    table = read_table(options.data, signal=options.signal, target=options.target)
    regret = replay_orders(table, options)
    budgets, intervals = scores.budgets_to_reach(regret)
    top = scores.top_runs(table)
    return {
        "optuna": optuna.__version__,
        "data": options.data.name,
        "runs": len(table.runs),
        "diverged": sum(run.diverged for run in table.runs),
        "mean_horizon": table.mean_horizon,
        "signal": f"better of {table.signal} and its average" if table.has_twin else table.signal,
        "target": table.target,
        "best": table.finals[0],
        "orders": options.orders,
        "regret": {name: scores.by_budget(values) for name, values in regret.items()},
        "to_none": _less(regret, "none"),
        "to_asynchronous": _less(regret, "asynchronous"),
        "budget_to_reach": budgets,
        "budget_interval": intervals,
        "recall_top5": scores.recall(table),
        "top5_runs": scores.counts(top),
    }


def _less(regret: Mapping[str, np.ndarray], name: str) -> dict[str, Any]:
    """Each rule's regret less that of this one, paired by order; nothing if it was not replayed."""
    if name not in regret:
        return {}
    return {
        rule: scores.by_budget(values - regret[name])
        for rule, values in regret.items()
        if rule != name
    }


# Output.


def text(result: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            f"{result['data']}: {result['runs']} runs, {result['diverged']} diverged, mean horizon "
            f"{result['mean_horizon']:.1f} epochs (1x); signal: {result['signal']}; "
            f"{result['orders']} orders, Optuna {result['optuna']}",
            *_regret_lines(result),
            *_budget_lines(result),
            *_recall_lines(result),
        ]
    )


def _regret_lines(result: Mapping[str, Any]) -> list[str]:
    in_points = result["target"].endswith("error")
    scale, digits, unit = (100, 2, "error points") if in_points else (1, 4, result["target"])
    header = "".join(f"{key:>18}" for key in result["regret"]["none"])
    titles = {
        "regret": f"Regret, {unit} above the best of the table, mean +- standard error",
        "to_none": "The same less that without pruning, paired by order",
        "to_asynchronous": "The same less that of the asynchronous rule, paired by order",
    }
    lines = []
    for key, title in titles.items():
        if not result[key]:
            continue
        lines += ["", title, f"{'rule':12}{header}"]
        for rule, row in result[key].items():
            pairs = ((scale * cell["mean"], scale * cell["se"]) for cell in row.values())
            cells = "".join(f"{f'{mean:.{digits}f}+-{se:.{digits}f}':>18}" for mean, se in pairs)
            lines.append(f"{rule:12}{cells}")
    return lines


def _budget_lines(result: Mapping[str, Any]) -> list[str]:
    goals = [f"{rule}@{goal}x" for rule in REFERENCES for goal in scores.GOALS]
    lines = [
        "",
        "Budget (x) that reaches the quality of another rule at its budget, middle 95 % of "
        "resampled orders",
        f"{'rule':12}" + "".join(f"{goal:>21}" for goal in goals),
    ]
    for rule, reached in result["budget_to_reach"].items():
        intervals = result["budget_interval"][rule]
        cells = (f"{_budget(reached[goal])} ({_interval(intervals[goal])})" for goal in goals)
        lines.append(f"{rule:12}" + "".join(f"{cell:>21}" for cell in cells))
    return lines


def _interval(ends: Sequence[float | None]) -> str:
    return "..".join(map(_budget, ends))


def _budget(budget: float | None) -> str:
    return f">{scores.BUDGETS[-1]}" if budget is None else f"{budget:.1f}"


def _recall_lines(result: Mapping[str, Any]) -> list[str]:
    lines = [
        "",
        "Share of the final top 5 % that passes each asynchronous rung, if all runs arrive",
    ]
    for family, shares in result["recall_top5"].items():
        cells = "".join(f"{'-' if share is None else f'{share:.2f}':>7}" for share in shares)
        lines.append(f"{family:16}{cells}   of {result['top5_runs'][family]}")
    return lines


def parse_options() -> argparse.Namespace:
    names = "\n".join(f"  {name:12} {meaning}" for name, meaning in MEANINGS.items())
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"rules:\n{names}\n\n"
        "example: python benchmarks/replay.py --data digits_mlp.jsonl.gz --rules planned,promote",
    )
    parser.add_argument("--data", type=Path, required=True, help="recorded runs, .jsonl.gz")
    parser.add_argument("--signal", default="auto", help="curve that rungs compare (the target)")
    parser.add_argument(
        "--target", default="auto", help="curve whose last value counts (val_error)"
    )
    parser.add_argument(
        "--rules",
        type=lambda text: text.split(","),
        default=list(DEFAULT_RULES),
        help=f"names with commas between ({','.join(DEFAULT_RULES)}); none and median are added",
    )
    parser.add_argument("--orders", type=int, default=200, help="random orders of the runs (200)")
    parser.add_argument("--seed", type=int, default=0, help="which orders (0)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="replays at once (one a core)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    options = parser.parse_args()
    for name in options.rules:
        if name not in MEANINGS:
            parser.error(f"--rules {name}: accepted are {', '.join(MEANINGS)}")
    options.rules = list(dict.fromkeys([*options.rules, *REFERENCES]))
    if options.orders < 2:
        parser.error(f"--orders {options.orders}: at least 2 are needed for a standard error")
    if options.processes < 1:
        parser.error(f"--processes {options.processes}: at least 1 is needed")
    return options


def main() -> None:
    options = parse_options()
    try:
        result = measure(options)
    except TableError as error:
        sys.exit(f"Error: {error}")
    print(json.dumps(result, indent=2) if options.json else text(result))


if __name__ == "__main__":
    main()
