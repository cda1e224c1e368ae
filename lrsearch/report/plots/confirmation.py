"""The picture of a confirmation: every seed of every finalist, paired."""

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lrsearch.confirmation.confirmed import Confirmed
from lrsearch.recipe.recipe import Recipe
from lrsearch.recipe.title import peak
from lrsearch.report.colours import BLUE, GREY, ORANGE


def plot_seeds(
    entries: Sequence[Confirmed], ax: Axes, *, metric: str, direction: str
) -> list[Line2D]:
    """A column for each recipe; lines join the runs of one seed, bars are the 95 % intervals.

    Returns what a legend shows.
    """
    scores = [entry.scores for entry in entries]
    for at, (left, right) in enumerate(pairwise(scores)):
        for seed in left.keys() & right.keys():
            ax.plot([at, at + 1], [left[seed], right[seed]], color=GREY, lw=1, alpha=0.6, zorder=1)
    for at, entry in enumerate(entries):
        ax.plot([at] * entry.n, entry.values, ls="", marker="o", mfc="none", mec=BLUE, ms=6)
        if entry.ci95 is not None:
            half = (entry.ci95[1] - entry.ci95[0]) / 2
            ax.errorbar(
                at + 0.12, entry.mean, half, fmt="D", color=ORANGE, ms=6, capsize=4, zorder=3
            )
    ax.set_xticks(range(len(entries)), [_name(entry, i) for i, entry in enumerate(entries)])
    ax.set_xlim(-0.5, len(entries) - 0.5)
    better = "lower" if direction == "minimize" else "higher"
    ax.set_ylabel(f"{metric} ({better} is better)")
    handles = [
        Line2D([], [], ls="", marker="o", mfc="none", mec=BLUE, label="run with a fresh seed"),
        Line2D([], [], ls="-", marker="D", color=ORANGE, label="mean, 95 % interval"),
    ]
    if len(entries) > 1:
        handles.append(Line2D([], [], color=GREY, label="same seed"))
    return handles


def _name(entry: Confirmed, place: int) -> str:
    role = "recommended" if place == 0 else entry.role
    recipe = Recipe.from_dict(entry.recipe)
    return f"trial {entry.trial} ({role})\n{peak(recipe)}"
