"""What a duel's rows say: means with standard errors, paired differences, tables."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
from duel_record import Record, Row

#: Whom all others are compared with.
RIVAL = "plain"
#: What its variants are compared with, each of which leaves a part of it out.
OURS = "lrsearch"
#: A study whose judged value is so many times its method's median has misled its user.
WORST = 1.5
#: The rival's same budget, its largest one, and lrsearch's same budget.
AGAINST = ("same", "largest", "ours")
#: Sums of floats differ by so much.
EPSILON = 1e-9


def mean_of(values: Sequence[float]) -> dict[str, float]:
    """Mean and its standard error, NaN for a single value."""
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return {"mean": fmean(values), "se": error}


def judged_mean(table_SJ: Sequence[Sequence[float]]) -> dict[str, float]:
    """Mean over studies (rows) and judging seeds (columns), and its standard error.

    Both are drawn: with other judging seeds the same recipes have another mean, so that studies
    which all recommend one recipe have an error too. Errors clustered in two ways (Cameron, Gelbach
    & Miller 2011): the variance from studies and that from judges, less that of single runs, which
    both hold; at least the larger of the two. NaN for a single study or judge.
    """
    table = np.asarray(table_SJ, dtype=float)
    studies, judges = table.shape
    if studies < 2 or judges < 2:
        return {"mean": float(table.mean()), "se": math.nan}
    of_study = table.mean(1).var(ddof=1) / studies
    of_judge = table.mean(0).var(ddof=1) / judges
    single = table.var(ddof=1) / table.size
    variance = max(of_study, of_judge, of_study + of_judge - single)
    return {"mean": float(table.mean()), "se": math.sqrt(variance)}


def summary(
    record: Record, methods: Sequence[str], budgets: Sequence[int], seeds: Sequence[int]
) -> dict[str, Any]:
    """Every method at every budget that it has, beside the rival's same and largest budget.

    And beside lrsearch's own same budget.
    """
    rows = {(m, b): record.of(m, b, seeds) for m in methods for b in budgets}
    judged = {key: [row.judged for row in found] for key, found in rows.items() if found}
    columns: dict[str, Any] = {}
    for (method, budget), ours in judged.items():
        against = {}
        for name, other in (
            ("same", (RIVAL, budget)),
            ("largest", (RIVAL, max(budgets))),
            ("ours", (OURS, budget)),
        ):
            theirs = judged.get(other)
            if theirs is not None and method not in (RIVAL, other[0]):
                against[name] = paired(ours, theirs)
        column = {**_column(rows[method, budget]), "against": against}
        columns.setdefault(method, {})[f"{budget}x"] = column
    return {"seeds": len(seeds), "budgets": list(budgets), "methods": columns}


def _column(rows: Sequence[Row]) -> dict[str, Any]:
    names, values = rows[0].metrics, [row.value for row in rows]
    middle = median(values)
    return {
        **judged_mean([row.judged for row in rows]),
        "median": middle,
        # Of lower is better; of a median of 0 nothing can be said.
        "worst": max(values) / middle if middle > 0 else math.nan,
        "values": values,
        "recipes": len({tuple(row.judged) for row in rows}),
        "own": fmean(row.own for row in rows),
        # Of the judged value: how much better the method's own number is.
        "optimism": mean_of([(row.value - row.own) / abs(row.value) for row in rows]),
        "epochs": {
            **{key: fmean(row.epochs[key] for row in rows) for key in rows[0].epochs},
            "all": fmean(row.spent for row in rows),
            "most": max(row.spent for row in rows),
        },
        "trials": {key: fmean(row.trials[key] for row in rows) for key in rows[0].trials},
        "metrics": {
            name: mean_of([row.metrics[name] for row in rows if name in row.metrics])
            for name in names
        },
    }


def paired(
    ours_SJ: Sequence[Sequence[float]], others_SJ: Sequence[Sequence[float]]
) -> dict[str, Any]:
    """Mean difference over the same studies' seeds and judges, and its standard error.

    `better` counts studies in which ours is lower. The outcome is a tie where the mean difference
    is at most one standard error, else a win or a loss.
    """
    difference_SJ = np.asarray(ours_SJ) - np.asarray(others_SJ)
    found, size = judged_mean(difference_SJ.tolist()), abs(float(np.mean(others_SJ)))
    return {
        **found,
        "outcome": outcome(found["mean"], found["se"]),
        "relative": found["mean"] / size,
        "relative_se": found["se"] / size,
        "better": int((difference_SJ.mean(1) < 0).sum()),
    }


def outcome(difference: float, error: float) -> str:
    """`win`, `tie` or `loss` of a paired difference of losses; a tie where there is no error."""
    if not abs(difference) > error * (1 + EPSILON):
        return "tie"
    return "win" if difference < 0 else "loss"


def standings(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Over tasks: how often each method won, tied and lost against the rival, and its worst study.

    `results` has a summary for each task.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for task, result in results.items():
        for method, columns in result["methods"].items():
            for budget, column in columns.items():
                row = found.setdefault((method, budget), _empty(method, budget))
                row["tasks"] += 1
                for name, pair in column["against"].items():
                    row[name][pair["outcome"]] += 1
                if not row["worst"] >= column["worst"]:
                    row["worst"], row["worst_task"] = column["worst"], task
    return list(found.values())


def _empty(method: str, budget: str) -> dict[str, Any]:
    counts = {name: {"win": 0, "tie": 0, "loss": 0} for name in AGAINST}
    row = {"method": method, "budget": budget, "tasks": 0, **counts}
    return {**row, "worst": math.nan, "worst_task": ""}


def hardship_summary(
    record: Record, hardship: str, budget: int, seeds: Sequence[int]
) -> dict[str, Any]:
    """The disturbed study beside the undisturbed one, and the share of its value that it loses."""
    rows = {name: record.of(name, budget, seeds) for name in ("lrsearch", hardship)}
    calm, hurt = ([row.value for row in rows[name]] for name in rows)
    loss = mean_of([(b - a) / abs(fmean(calm)) for a, b in zip(calm, hurt, strict=True)])
    columns = {name: _column(found) for name, found in rows.items()}
    return {"seeds": len(seeds), "budget": budget, "studies": columns, "loss": loss}


def shown(value: Mapping[str, float], digits: int = 4) -> str:
    """The mean and its error to so many digits after the mean's leading one."""
    size = abs(value["mean"]) + abs(value["se"] if math.isfinite(value["se"]) else 0)
    places = max(0, digits - 1 - math.floor(math.log10(size))) if size > 0 else digits
    return f"{value['mean']:.{places}f} ±{value['se']:.{places}f}"


def text(result: Mapping[str, Any]) -> str:
    """Tables for people: one for each task, and one over tasks."""
    parts = [task_text(name, found) for name, found in result["tasks"].items()]
    parts.append(standings_text(result["standings"], result["tasks"]))
    return "\n\n".join([*parts, *parts_text(result["tasks"])])


def task_text(name: str, result: Mapping[str, Any]) -> str:
    largest = f"{max(result['budgets'])}x"
    columns = ("judged loss", "median", "worst", "recipes", "own", "epochs", f"less {RIVAL}'s same")
    heads = (*columns, f"less {RIVAL}'s {largest}")
    lines = [
        f"{name}: {result['task']}, {result['epochs']} epochs, {result['seeds']} studies each, "
        f"{len(result['judges'])} judging seeds; mean ± standard error over both; "
        f"recipes: how many different ones",
        f"{'':24}" + "".join(f"{h:>{w}}" for h, w in zip(heads, WIDTHS, strict=True)),
    ]
    for method, of_budget in result["methods"].items():
        for budget, column in of_budget.items():
            cells = [
                shown(column, 3),
                f"{column['median']:.4g}",
                f"{column['worst']:.2f}",
                str(column["recipes"]),
                f"{column['own']:.4g}",
                f"{column['epochs']['all']:.0f}",
                *(_difference(column["against"].get(key)) for key in ("same", "largest")),
            ]
            lines.append(
                f"{method:19}{budget:>5}"
                + "".join(f"{cell:>{w}}" for cell, w in zip(cells, WIDTHS, strict=True))
            )
    return "\n".join(lines)


#: Of the columns of a task's table.
WIDTHS = (19, 9, 7, 9, 9, 8, 32, 32)


def _difference(pair: Mapping[str, Any] | None) -> str:
    return "" if pair is None else f"{shown(pair, 2)} ({pair['relative']:+.1%}) {pair['outcome']}"


def standings_text(rows: Sequence[Mapping[str, Any]], tasks: Mapping[str, Any]) -> str:
    largest = max((b for result in tasks.values() for b in result["budgets"]), default=0)
    lines = [
        f"Over tasks: wins, ties (within one paired standard error), losses; worst is a study's "
        f"judged loss over its method's median (bar: {WORST})",
        f"{'':24}{f'{RIVAL} at the same budget':>28}{f'{RIVAL} at {largest}x':>28}   worst",
    ]
    for row in rows:
        counts = ["  ".join(f"{n} {key}" for key, n in row[k].items()) for k in ("same", "largest")]
        shown_counts = ["" if row["method"] == RIVAL else cell for cell in counts]
        lines.append(
            f"{row['method']:19}{row['budget']:>5}"
            + "".join(f"{cell:>28}" for cell in shown_counts)
            + f"   {row['worst']:.2f} {row['worst_task']}"
        )
    return "\n".join(lines)


def parts_text(tasks: Mapping[str, Any]) -> list[str]:
    """A table of how much more lrsearch's variants lose than it does; none without variants."""
    cells: dict[tuple[str, str], dict[str, Mapping[str, float]]] = {}
    for task, result in tasks.items():
        for method, columns in result["methods"].items():
            for budget, column in columns.items():
                if "ours" in column["against"]:
                    cells.setdefault((method, budget), {})[task] = column["against"]["ours"]
    if not cells:
        return []
    width = max(16, *(len(task) + 2 for task in tasks))
    heads = "".join(f"{name:>{width}}" for name in [*tasks, "mean of tasks"])
    lines = [
        f"Judged loss less {OURS}'s at the same budget, in percent of it ± standard error; above 0 "
        f"{OURS} as it comes is better",
        f"{'':24}{heads}",
    ]
    for (method, budget), found in cells.items():
        shown_cells = [_percent(found[task]) if task in found else "" for task in tasks]
        line = "".join(f"{cell:>{width}}" for cell in [*shown_cells, _percent(over_tasks(found))])
        lines.append(f"{method:19}{budget:>5}{line}")
    return ["\n".join(lines)]


def over_tasks(found: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of the tasks' relative differences, and the error that their own give it."""
    errors = math.fsum(pair["relative_se"] ** 2 for pair in found.values())
    mean = fmean(pair["relative"] for pair in found.values())
    return {"relative": mean, "relative_se": math.sqrt(errors) / len(found)}


def _percent(pair: Mapping[str, float]) -> str:
    return f"{100 * pair['relative']:+.1f} ±{100 * pair['relative_se']:.1f}"


def hardship_text(result: Mapping[str, Any]) -> str:
    lines = [
        f"{result['task']}, {result['epochs']} epochs, {result['budget']}x, {result['seeds']} "
        f"studies each; mean ± standard error over studies"
    ]
    for name, column in result["studies"].items():
        states = ", ".join(f"{count:.1f} {state}" for state, count in column["trials"].items())
        lines.append(f"{name:18}{shown(column):>18}  {states}")
    loss = result["loss"]
    return "\n".join([*lines, f"{'loss':18}{loss['mean']:>11.1%} ±{loss['se']:.1%}"])
