"""Pictures of a report's series, on figures that need no display."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from lrsearch.report.colours import BLUE, GREEN, GREY, ORANGE, RED
from lrsearch.report.plots import lr_sequences
from lrsearch.report.plots.looks import (
    LOG_LR_FLOOR,
    note_if_empty,
    short_name,
    trial_styles,
    value_label,
)
from lrsearch.report.plots.series import Curve, History, LrPoint

#: Values that span more than this many decades are drawn on a log scale.
LOG_DECADES = 1.5
#: The same for curves, which all start high: what tells them apart is at their low end.
LOG_DECADES_OF_CURVES = 0.7
#: Up to so many decades, a log scale is labelled 0.1, 0.2, 0.5, 1 in place of powers of ten.
PLAIN_DECADES = 3.0
#: Of fewer learning rates than this, each is drawn as long as it holds; of more, a line is drawn.
FEW_POINTS = 200
#: Diverged and failed trials have no value; they stand this far inside the worse edge of the axes.
EDGE = 0.04


def plot_history(history: History, ax: Axes) -> list[Line2D]:
    """Every trial's value in the order of their starts, and the best so far.

    Here as below the legend is left to the caller, who gets its handles.
    """
    points = history.points
    ax.set_xlabel("trial")
    ax.set_ylabel(value_label(history.metric, history.direction))
    _integer_ticks(ax, len(points))
    values = [p.value for p in points if p.value is not None]
    _value_scale(ax, values, history.direction)
    marks = [(p.trial, p.value, p.state) for p in points]
    handles = _draw_trials(ax, marks, history.direction)
    steps = [(p.trial, p.best) for p in points if p.best is not None]
    if steps:
        x, y = [trial for trial, _ in steps], [best for _, best in steps]
        handles += ax.plot(x, y, color=GREEN, lw=2, drawstyle="steps-post", label="best so far")
    if history.baseline is not None:
        line = ax.axhline(history.baseline, color=ORANGE, ls="--", lw=1.5, label="baseline")
        handles.append(line)
    note_if_empty(ax, bool(values), "no trial has a value yet")
    return handles


def plot_curves(curves: Sequence[Curve], ax: Axes, *, metric: str, direction: str) -> list[Line2D]:
    """The objective of a few trials over their epochs."""
    ax.set_xlabel("epoch")
    ax.set_ylabel(value_label(metric, direction))
    finite = [value for curve in curves for value in curve.values if value is not None]
    _value_scale(ax, finite, direction, LOG_DECADES_OF_CURVES)
    handles: list[Line2D] = []
    ax.set_xlim(0, 1.02 * max((curve.epochs[-1] for curve in curves if curve.epochs), default=1))
    for curve, style in zip(curves, trial_styles(curves), strict=True):
        if not curve.epochs:
            continue  # a baseline that diverged before its first validation
        y = [math.nan if value is None else value for value in curve.values]
        marker = "o" if len(y) == 1 else None
        handles += ax.plot(curve.epochs, y, marker=marker, **style)
    note_if_empty(ax, bool(finite), "no trial is complete yet")
    return handles


def plot_lr_sequences(
    drawn: Sequence[lr_sequences.Sequence],
    curves: Sequence[Curve],
    ax: Axes,
    momentum_ax: Axes | None = None,
) -> list[Line2D]:
    """Learning rate over the epochs of the trials in `curves`, in their colours."""
    handles: list[Line2D] = []
    positive = [max(sequence.lrs) for sequence in drawn if sequence.lrs]
    if positive and max(positive) > 10**0.5 * min(positive):
        ax.set_yscale("log")
        ax.set_ylim(min(positive) * LOG_LR_FLOOR, max(positive) * 2)
    for sequence, style in zip(drawn, trial_styles(curves), strict=True):
        in_steps = sequence.recorded or len(sequence.lrs) < FEW_POINTS
        drawstyle = "steps-post" if in_steps else "default"
        logarithmic = ax.get_yscale() == "log"
        lrs = [math.nan if logarithmic and lr <= 0 else lr for lr in sequence.lrs]
        handles += ax.plot(sequence.epochs, lrs, drawstyle=drawstyle, **style)
        if momentum_ax is not None and sequence.momenta is not None:
            momentum_ax.plot(sequence.epochs, sequence.momenta, drawstyle=drawstyle, **style)
    ax.set_ylabel("learning rate")
    if ax.get_yscale() == "linear" and positive:
        ax.set_ylim(bottom=0)
    lowest = ax if momentum_ax is None else momentum_ax
    lowest.set_xlabel("epoch")
    lowest.set_xlim(0, 1.02 * max((item.epochs[-1] for item in drawn if item.epochs), default=1))
    if momentum_ax is not None:
        momentum_ax.set_ylabel("momentum")
    note_if_empty(ax, bool(positive), "no trial is complete yet")
    return handles


def plot_lr_against_value(
    points: Sequence[LrPoint], axes: Mapping[str, Axes], *, metric: str, direction: str
) -> list[Line2D]:
    """Value against peak learning rate, one of `axes` per optimizer."""
    values = [point.value for point in points if point.value is not None]
    handles: dict[str, Line2D] = {}
    for optimizer, ax in axes.items():
        mine = [point for point in points if point.optimizer == optimizer]
        count = f"{len(mine)} trial{'' if len(mine) == 1 else 's'}"
        ax.set_title(f"{short_name(optimizer)} ({count})", fontsize="medium")
        ax.set_xlabel("learning rate (peak)")
        place = ax.get_subplotspec()
        if place is None or place.is_first_col():
            ax.set_ylabel(value_label(metric, direction))
        ax.set_xscale("log")
        _value_scale(ax, values, direction)
        ax.set_xlim(_lr_limits([point.lr for point in mine]))
        marks = [(point.lr, point.value, point.state) for point in mine]
        found = _draw_trials(ax, marks, direction) + _mark_best(ax, mine)
        handles |= {str(handle.get_label()): handle for handle in found}
    if not values:
        for ax in axes.values():
            ax.set_yticks([])
    return list(handles.values())


def _lr_limits(lrs: Sequence[float]) -> tuple[float, float]:
    """Around the learning rates, and two decades or more, so that there are ticks."""
    if not lrs:
        return 1e-4, 1e-1
    middle = math.sqrt(min(lrs) * max(lrs))
    reach = max(10.0, 1.6 * max(lrs) / middle)
    return middle / reach, middle * reach


def _value_scale(
    ax: Axes, values: Sequence[float], direction: str, log_decades: float = LOG_DECADES
) -> None:
    """Log for a loss that spans decades; an accuracy's differences are at its linear top."""
    ax.margins(y=0.12)  # room for what stands at the edge
    if direction == "maximize" or not values or min(values) <= 0:
        return
    decades = math.log10(max(values) / min(values))
    if decades > log_decades:
        ax.set_yscale("log")
    if log_decades < decades < PLAIN_DECADES:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())


def _integer_ticks(ax: Axes, count: int) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    ax.set_xlim(-0.5 - 0.02 * count, max(count, 1) - 0.5 + 0.02 * count)


def _draw_trials(
    ax: Axes, marks: Iterable[tuple[float, float | None, str]], direction: str
) -> list[Line2D]:
    """A marker per (x, value, state); those without a value at the worse edge."""
    marks = list(marks)
    edge = 1 - EDGE if direction == "minimize" else EDGE
    at_edge = ax.get_xaxis_transform()
    handles = []
    for state, style in _STATE_STYLES.items():
        mine = [(x, value) for x, value, its in marks if its == state]
        placed = [(x, value) for x, value in mine if value is not None]
        if placed:
            x, y = zip(*placed, strict=True)
            handles += ax.plot(x, y, ls="", label=_LABELS[state], **style)
        missing = [x for x, value in mine if value is None]
        if missing and state in ("diverged", "failed"):
            handles += ax.plot(
                missing,
                [edge] * len(missing),
                ls="",
                label=_LABELS[state],
                transform=at_edge,
                zorder=3,
                **style,
            )
    return handles


_STATE_STYLES: dict[str, dict[str, Any]] = {
    "pruned": {"marker": "o", "mfc": "none", "mec": GREY, "ms": 5},
    "complete": {"marker": "o", "mfc": BLUE, "mec": BLUE, "ms": 5.5},
    "diverged": {"marker": "x", "mec": RED, "ms": 7, "mew": 2},
    "failed": {"marker": "^", "mfc": "none", "mec": ORANGE, "ms": 6},
}
_LABELS = {
    "pruned": "pruned (best until then)",
    "complete": "complete",
    "diverged": "diverged (no value)",
    "failed": "failed (no value)",
}


def _mark_best(ax: Axes, points: Sequence[LrPoint]) -> list[Line2D]:
    handles = []
    for point in points:
        if point.value is None:
            continue
        if point.best:
            handles += ax.plot(
                [point.lr],
                [point.value],
                ls="",
                marker="*",
                ms=14,
                mfc=ORANGE,
                mec="black",
                zorder=5,
                label="best of search",
            )
        if point.confirmed:
            handles += ax.plot(
                [point.lr],
                [point.value],
                ls="",
                marker="D",
                ms=13,
                mfc="none",
                mec=GREEN,
                mew=2,
                zorder=4,
                label="confirmed winner",
            )
    return handles
