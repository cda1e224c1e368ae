"""LR range tests as a picture: loss against lr, and what was read from it."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lrsearch.range_test.analysis import RangeTest, median_curve
from lrsearch.report.colours import BLUE, GREEN, ORANGE, RED, SKY
from lrsearch.report.plots.looks import draw_legend, explain, save, short_name

PANELS_PER_ROW = 3
#: The axis of losses reaches above the start and below the lowest by these shares of the deepest
#: fall: what diverges leaves it.
HEADROOM, FOOTROOM = 0.4, 0.1
#: What the marks mean.
CAPTION = (
    "A fresh model is trained while the learning rate rises by 30 % each step. Thin lines: the "
    "loss of each batch, a line for each seed. Window: what to search. Valley: the middle of the "
    "longest fall. Lowest / 10: a tenth of the rate with the lowest loss. Edge: where the loss has "
    "climbed back by half of its fall. Vertical lines are medians over the seeds."
)


def draw_range_tests(results: Sequence[RangeTest], path: Path) -> None:
    """Write the picture of range tests. Raises SpecError if it cannot be written."""
    save(lambda: range_tests_figure(results), path)


def range_tests_figure(results: Sequence[RangeTest]) -> Figure:
    """A panel for each optimizer, its losses on an axis of its own, and what the marks mean."""
    columns = min(max(1, len(results)), PANELS_PER_ROW)
    rows = max(1, math.ceil(len(results) / columns))
    figure = Figure(figsize=(7.5, 1.2 + 3.0 * rows), layout="constrained")
    if not results:
        figure.text(0.5, 0.5, "no range test has ended", ha="center", va="center")
    handles: dict[str, Line2D | Patch] = {}
    for i, result in enumerate(results):
        ax = figure.add_subplot(rows, columns, i + 1)
        if i % columns == 0:
            ax.set_ylabel("training loss of a batch")
        handles |= plot_range_test(result, ax)
    draw_legend(figure, list(handles.values()))
    explain(figure, CAPTION)
    return figure


def plot_range_test(result: RangeTest, ax: Axes) -> dict[str, Line2D | Patch]:
    """Losses of all seeds, the median of the smoothed ones, and the readings; legend by label."""
    seeds = len(result.ramps)
    ax.set_title(
        f"{short_name(result.name)} ({seeds} seed{'' if seeds == 1 else 's'})", fontsize="medium"
    )
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    found: list[Line2D | Patch] = []
    for ramp in result.ramps:
        losses = [loss if math.isfinite(loss) else math.nan for loss in ramp.losses]
        thin = ax.plot(ramp.lrs, losses, color=SKY, lw=0.8, alpha=0.8, label="a seed's loss")
    found += thin
    lrs, middle = median_curve(result)
    found += ax.plot(lrs, middle, color=BLUE, lw=2.5, label="smoothed, median of seeds")
    if result.window is not None:
        found.append(ax.axvspan(*result.window, color=GREEN, alpha=0.2, lw=0, label="window"))
    for spread, colour, style, label in (
        (result.valley, GREEN, ":", "valley"),
        (result.min_over_10, ORANGE, "-.", "lowest / 10"),
        (result.edge, RED, "--", "edge"),
    ):
        if spread is not None:
            found.append(ax.axvline(spread.median, color=colour, ls=style, lw=1.8, label=label))
    _limit(ax, middle[0], min(min(ramp.losses) for ramp in result.ramps))
    return {str(handle.get_label()): handle for handle in found}


def _limit(ax: Axes, start: float, lowest: float) -> None:
    fall = max(start - lowest, 1e-3 * abs(start), 1e-12)
    ax.set_ylim(lowest - FOOTROOM * fall, start + HEADROOM * fall)
