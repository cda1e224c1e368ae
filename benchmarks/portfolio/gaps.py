"""How far from a task's best known loss a study is after k recipes: what more runs would bring.

For each recorded task the recipes of the portfolio that the other tasks give, in its order, each
trained to its end; the search's seed chooses among the first k, other seeds judge. The gap is the
loss above that of the task's best recorded recipe, in percent: median and upper quartile of the
tasks. Beside it stand draws of the default space, and how far apart two recipes of the portfolio
are. lrsearch/space/portfolio/gaps.py holds the figures.
Run it: python benchmarks/portfolio/gaps.py
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

from derive import LENGTH, Method, derive, derived, drawn, left_out
from regret import TaskTable, tables
from runs import RUNS, read

#: After so many recipes.
COUNTS = range(1, LENGTH + 1)


def gaps(all_tables: Sequence[TaskTable], method: Method) -> list[dict[str, float]]:
    """After each number of recipes the median and upper quartile of the gaps, and mean regret."""
    found = []
    for count in COUNTS:
        regrets = [method(table, count) for table in all_tables]
        above = [
            math.expm1(regret * table.scale)
            for regret, table in zip(regrets, all_tables, strict=True)
        ]
        upper = quantiles(above, n=4)[2]
        found.append({"median": median(above), "upper": upper, "regret": fmean(regrets)})
    return found


def apart(all_tables: Sequence[TaskTable], orders: dict[str, list[str]]) -> float:
    """By how much the worse of two recipes of an order is worse: the median of tasks' medians."""
    return median(
        median(
            math.expm1(abs(table.regret[one] - table.regret[other]) * table.scale)
            for one, other in combinations(orders[table.task], 2)
        )
        for table in all_tables
    )


def document(all_tables: Sequence[TaskTable]) -> dict[str, Any]:
    orders = left_out(all_tables, derive)
    return {
        "tasks": len(all_tables),
        "apart": apart(all_tables, orders),
        "portfolio": gaps(all_tables, derived(orders)),
        "draws": gaps(all_tables, drawn([])),
    }


def text(found: dict[str, Any]) -> str:
    lines = [
        f"{found['tasks']} tasks; the worse of two recipes of an order has a loss "
        f"{100 * found['apart']:.0f} % higher (median)",
        "",
        "| recipes | portfolio: gap, upper quartile, regret | draws: gap, upper quartile, regret |",
        "|---|---|---|",
    ]
    pairs = zip(COUNTS, found["portfolio"], found["draws"], strict=True)
    for count, *both in pairs:
        cells = [
            f"{100 * each['median']:.1f} %, {100 * each['upper']:.0f} %, {each['regret']:.2f}"
            for each in both
        ]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0],
        epilog="example: python benchmarks/portfolio/gaps.py --json",
    )
    parser.add_argument("--runs", type=Path, default=RUNS, help="recorded runs")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    if not options.runs.exists():
        sys.exit(f"{options.runs} is not there; record.py writes it")
    found = document(tables(read(options.runs)))
    print(json.dumps(found) if options.json else text(found))


if __name__ == "__main__":
    main()
