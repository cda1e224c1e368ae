"""Derive the portfolio from recorded runs, and check it on tasks that were left out.

Prints the order that lowers the mean regret over all tasks most, recipe by recipe, and beside it
what such an order gives on a task that it was not derived from: for each task the order of the
others. So that it does not follow chance, a recipe's regret is averaged with that of the other
schedules of its rate; and a task counts a quarter besides with all its rates half a decade higher,
and a quarter with them lower, since tasks to come are of other sizes. In the same table stand the
order without both ("plainly"), a list fixed by hand, the textbook's three recipes followed by
draws, and draws of the default space alone. Regret 0 is the task's best entry, 1 the median draw.
Run it: python benchmarks/portfolio/derive.py
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

from grid import candidates
from regret import TaskTable, greedy, shifted, smoothed, tables
from runs import RUNS, read

#: Recipes of the list, and after how many of them it is looked at.
LENGTH, COUNTS = 12, (1, 3, 5, 10)
#: Orders of the draws that are averaged over.
ORDERS = 400
#: Half decades by which a task's rates are moved, and how often the task then counts.
SHIFTS = {0: 4, 1: 1, -1: 1}
CANDIDATES = candidates()
#: A list fixed by hand before these runs. It was chosen with other tasks in view, its score here is
#: that of an outsider.
HAND = (
    "adamw 0.003 one_cycle",
    "adamw 0.01 one_cycle",
    "sgd 0.1 one_cycle",
    "adamw 0.001 one_cycle",
    "adamw 0.03 one_cycle",
    "sgd 0.03 one_cycle",
    "sgd 0.3 one_cycle",
    "sgd 0.01 one_cycle",
    "adamw 0.003 linear",
    "adamw 0.01 linear",
    "adamw 0.003 wsd",
    "adamw 0.01 wsd",
)
#: How many recipes have been tried, and a task: the regret then.
Method = Callable[[TaskTable, int], float]


#: From tasks to an order.
Derive = Callable[[Sequence[TaskTable]], list[str]]


def derive(some: Sequence[TaskTable]) -> list[str]:
    """The order for these tasks, smoothed, and their neighbours."""
    smooth = [smoothed(table, CANDIDATES) for table in some]
    seen_as = [
        table if by == 0 else shifted(table, CANDIDATES, by)
        for table in smooth
        for by, weight in SHIFTS.items()
        for _ in range(weight)
    ]
    return greedy(seen_as, CANDIDATES, LENGTH)


def derive_plainly(some: Sequence[TaskTable]) -> list[str]:
    return greedy(some, CANDIDATES, LENGTH)


def left_out(all_tables: Sequence[TaskTable], derive: Derive) -> dict[str, list[str]]:
    """Task to the order that is derived from the others."""
    return {t.task: derive([other for other in all_tables if other is not t]) for t in all_tables}


def derived(orders: Mapping[str, Sequence[str]]) -> Method:
    return lambda table, count: table.after(orders[table.task][:count])


def fixed(first: Sequence[str]) -> Method:
    return lambda table, count: table.after(first[:count])


def drawn(first: Sequence[str]) -> Method:
    """These, then draws of the default space: the mean over random orders."""

    def after(table: TaskTable, count: int) -> float:
        draw, draws = random.Random(0), [name for name in table.seen if name.startswith("draw ")]
        shuffled = [draw.sample(draws, len(draws)) for _ in range(ORDERS)]
        return fmean(table.after([*first, *order][:count]) for order in shuffled)

    return after


def methods(
    all_tables: Sequence[TaskTable], orders: Mapping[str, Sequence[str]]
) -> dict[str, Method]:
    """By name; `orders` are those of `left_out`."""
    textbook = [f"textbook {number}" for number in range(3)]
    return {
        "derived, task left out": derived(orders),
        "the same, plainly": derived(left_out(all_tables, derive_plainly)),
        "derived, in sample": fixed(derive(all_tables)),
        "by hand": fixed(HAND),
        "textbook, then draws": drawn(textbook),
        "draws": drawn([]),
    }


def summary(
    all_tables: Sequence[TaskTable], orders: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, list[float]]]:
    """Method to `COUNTS` to the regret on each task."""
    return {
        name: {str(count): [method(table, count) for table in all_tables] for count in COUNTS}
        for name, method in methods(all_tables, orders).items()
    }


def with_error(values: Sequence[float]) -> str:
    return f"{fmean(values):.2f} ±{stdev(values) / len(values) ** 0.5:.2f}"


def text(all_tables: Sequence[TaskTable], found: Mapping[str, Mapping[str, list[float]]]) -> str:
    """Mean regret ± standard error over the tasks, the paired difference, and each task."""
    first = next(iter(found))
    lines = ["| | " + " | ".join(f"after {count}" for count in COUNTS) + " |"]
    lines.append("|---" * (1 + len(COUNTS)) + "|")
    for name, columns in found.items():
        lines.append(f"| {name} | " + " | ".join(map(with_error, columns.values())) + " |")
    for name, columns in found.items():
        if name != first:
            pairs = [zip(columns[k], found[first][k], strict=True) for k in columns]
            cells = [with_error([theirs - ours for theirs, ours in pair]) for pair in pairs]
            lines.append(f"| {name} less {first} | " + " | ".join(cells) + " |")
    lines += ["", "| task | " + " | ".join(f"{name}, {k}" for name in found for k in (3, 5)) + " |"]
    lines.append("|---" * (1 + 2 * len(found)) + "|")
    for place, table in enumerate(all_tables):
        cells = [f"{found[name][str(k)][place]:.2f}" for name in found for k in (3, 5)]
        lines.append(f"| {table.task} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def order_text(
    all_tables: Sequence[TaskTable], order: Sequence[str], orders: Mapping[str, Sequence[str]]
) -> str:
    """The order of all tasks: regret after each, and how often orders of all but one have it."""
    lines = ["| | recipe | regret after it | in orders of all tasks but one |", "|---|---|---|---|"]
    for place, name in enumerate(order, start=1):
        regret = fmean(table.after(order[:place]) for table in all_tables)
        times = sum(name in each for each in orders.values())
        lines.append(f"| {place} | {name} | {regret:.3f} | {times} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0],
        epilog="example: python benchmarks/portfolio/derive.py --json",
    )
    parser.add_argument("--runs", type=Path, default=RUNS, help="recorded runs")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    options = parser.parse_args()
    if not options.runs.exists():
        sys.exit(f"{options.runs} is not there; record.py writes it")
    all_tables = tables(read(options.runs))
    order, orders = derive(all_tables), left_out(all_tables, derive)
    found = summary(all_tables, orders)
    if options.json:
        print(json.dumps({"order": order, "tasks": [t.task for t in all_tables], **found}))
    else:
        print(order_text(all_tables, order, orders), text(all_tables, found), sep="\n\n")


if __name__ == "__main__":
    main()
