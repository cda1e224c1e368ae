"""A duel as a picture: how far from the best recipe known, over the budget."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def plot_regret(results: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Mean judged value above the best recipe that any study found, with a standard error's band.

    A panel for each task. Each method's budgets are joined by a line; the file's ending says what
    kind it is.
    """
    figure = Figure(figsize=(6.4, 4.2 * len(results)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(results), squeeze=False)[:, 0]
    for ax, (task, result) in zip(axes, results.items(), strict=True):
        _plot_task(ax, task, result)
    figure.savefig(path, dpi=120)


def _plot_task(ax: Axes, task: str, result: Mapping[str, Any]) -> None:
    columns = [column for method in result["methods"].values() for column in method.values()]
    best = min(value for column in columns for value in column["values"])
    for method, of_budget in result["methods"].items():
        budgets = [int(name.removesuffix("x")) for name in of_budget]
        means = [column["mean"] - best for column in of_budget.values()]
        errors = [column["se"] for column in of_budget.values()]
        [line] = ax.plot(budgets, means, marker="o", label=method)
        low = [m - e for m, e in zip(means, errors, strict=True)]
        high = [m + e for m, e in zip(means, errors, strict=True)]
        ax.fill_between(budgets, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    ax.set_xscale("log", base=2)
    ax.set_xticks(result["budgets"], [f"{budget}x" for budget in result["budgets"]])
    ax.set_xlabel("epochs spent in all, in trials")
    ax.set_ylabel("judged value above the best recipe found")
    ax.set_title(f"{task}, {result['seeds']} studies each")
    ax.legend()
