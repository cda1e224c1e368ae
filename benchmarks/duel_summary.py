"""What a duel's rows say: means with standard errors, paired differences, tables."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from duel_record import Record, Row
from scipy.stats import ttest_1samp, wilcoxon


def mean_of(values: Sequence[float]) -> dict[str, float]:
    """Mean and its standard error, NaN for a single value."""
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return {"mean": fmean(values), "se": error}


def summary(
    record: Record, methods: Sequence[str], budgets: Sequence[int], seeds: Sequence[int]
) -> dict[str, Any]:
    """Every method at every budget, and lrsearch at half the budget beside the others at all."""
    found = {
        method: {f"{b}x": _column(record.of(method, b, seeds)) for b in budgets}
        for method in methods
    }
    half, whole = budgets[-2], budgets[-1]
    ours = [row.value for row in record.of("lrsearch", half, seeds)]
    pairs = {
        method: paired(ours, [row.value for row in record.of(method, whole, seeds)])
        for method in methods
        if method != "lrsearch"
    }
    title = f"lrsearch at {half}x less the others at {whole}x"
    return {"seeds": len(seeds), "methods": found, "paired": {"title": title, **pairs}}


def _column(rows: Sequence[Row]) -> dict[str, Any]:
    names = rows[0].metrics
    return {
        **mean_of([row.value for row in rows]),
        "values": [row.value for row in rows],
        "own": fmean(row.own for row in rows),
        # Of the judged value: how much better the method's own number is.
        "optimism": mean_of([(row.value - row.own) / abs(row.value) for row in rows]),
        "epochs": {
            **{key: fmean(row.epochs[key] for row in rows) for key in rows[0].epochs},
            "all": fmean(row.spent for row in rows),
            "most": max(row.spent for row in rows),
        },
        "trials": {key: fmean(row.trials[key] for row in rows) for key in rows[0].trials},
        "metrics": {name: mean_of([row.metrics[name] for row in rows]) for name in names},
    }


def paired(ours: Sequence[float], others: Sequence[float]) -> dict[str, Any]:
    """Mean difference over seeds, its standard error, and how likely chance alone gives it.

    `better` counts seeds at which ours is lower. Both p are two-sided.
    """
    differences = [a - b for a, b in zip(ours, others, strict=True)]
    tested = len(set(differences)) > 1
    return {
        **mean_of(differences),
        "relative": fmean(differences) / abs(fmean(others)),
        "better": sum(d < 0 for d in differences),
        "p_t": float(ttest_1samp(differences, 0).pvalue) if tested else math.nan,
        "p_wilcoxon": float(wilcoxon(differences).pvalue) if tested else math.nan,
    }


def hardship_summary(
    record: Record, hardship: str, budget: int, seeds: Sequence[int]
) -> dict[str, Any]:
    """The disturbed study beside the undisturbed one, and the share of its value that it loses."""
    rows = {name: record.of(name, budget, seeds) for name in ("lrsearch", hardship)}
    calm, hurt = ([row.value for row in rows[name]] for name in rows)
    loss = mean_of([(b - a) / abs(fmean(calm)) for a, b in zip(calm, hurt, strict=True)])
    columns = {name: _column(found) for name, found in rows.items()}
    return {"seeds": len(seeds), "budget": budget, "studies": columns, "loss": loss}


def shown(value: Mapping[str, float], form: str = ".4f") -> str:
    return f"{value['mean']:{form}} ±{value['se']:{form}}"


def text(result: Mapping[str, Any]) -> str:
    """Tables for people."""
    budgets = list(next(iter(result["methods"].values())))
    lines = [
        f"{result['task']}, {result['epochs']} epochs, {result['seeds']} studies each; "
        f"mean ± standard error over studies",
        f"{'judged value':22}" + "".join(f"{b:>20}" for b in budgets),
    ]
    for method, columns in result["methods"].items():
        lines.append(f"{method:22}" + "".join(f"{shown(columns[b]):>20}" for b in budgets))
    lines.append(f"{'optimism':22}" + "".join(f"{b:>20}" for b in budgets))
    for method, columns in result["methods"].items():
        values = [shown(columns[b]["optimism"], ".1%") for b in budgets]
        lines.append(f"{method:22}" + "".join(f"{value:>20}" for value in values))
    lines.append(f"{'epochs spent (most)':22}" + "".join(f"{b:>20}" for b in budgets))
    for method, columns in result["methods"].items():
        spent = [columns[b]["epochs"] for b in budgets]
        cells = [f"{e['all']:.0f} ({e['most']:.0f})" for e in spent]
        lines.append(f"{method:22}" + "".join(f"{cell:>20}" for cell in cells))
    pairs = dict(result["paired"])
    lines.append(pairs.pop("title") + ":")
    for method, pair in pairs.items():
        lines.append(
            f"  {method:20}{shown(pair):>20} ({pair['relative']:+.1%}), better in "
            f"{pair['better']} of {result['seeds']}, p {pair['p_t']:.2g} (t), "
            f"{pair['p_wilcoxon']:.2g} (Wilcoxon)"
        )
    return "\n".join(lines)


def hardship_text(result: Mapping[str, Any]) -> str:
    lines = [
        f"{result['task']}, {result['epochs']} epochs, {result['budget']}x, {result['seeds']} "
        f"studies each; mean ± standard error over studies"
    ]
    for name, column in result["studies"].items():
        states = ", ".join(f"{count:.1f} {state}" for state, count in column["trials"].items())
        lines.append(f"{name:18}{shown(column):>18}  {states}")
    return "\n".join([*lines, f"loss{shown(result['loss'], '.1%'):>32}"])
