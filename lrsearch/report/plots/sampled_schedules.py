"""The picture of `lrsearch check --plot`: learning rate and momentum of a few sampled recipes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lrsearch.catalog.lookup import schedule_info
from lrsearch.catalog.script import SCRIPT
from lrsearch.errors import SpecError
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.colours import COLOURS
from lrsearch.report.plots import lr_sequences
from lrsearch.report.plots.looks import (
    LOG_LR_FLOOR,
    MARKERS,
    TRIAL_STYLES,
    explain,
    save,
    short_name,
)

#: Of the diagonal of the axes, between two markers of a line.
MARKED_EVERY = 0.12
CAPTION = (
    "A line is a recipe that the study could sample, as its real scheduler sets it. Colour: the "
    "optimizer. Each line has a marker of its own, and lines of one colour differ in their dashes. "
    "Where the learning rate is 0 the log scale shows nothing. Below: momentum, or beta1, of those "
    "that have one."
)


def preview_figure(recipes: Sequence[Recipe], steps_per_epoch: int) -> Figure:
    """Learning rates above, momentum (or beta1) below; a colour for each optimizer."""
    drawn = [
        lr_sequences.lr_sequence(i, recipe, steps_per_epoch, with_momentum=True)
        for i, recipe in enumerate(recipes)
    ]
    figure = Figure(figsize=(11.5, 6.4), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    top.set_yscale("log")
    lines = [
        _draw(top, bottom, sequence, recipe, style)
        for sequence, recipe, style in zip(drawn, recipes, _styles(recipes), strict=True)
    ]
    peaks = [max(sequence.lrs) for sequence in drawn]
    top.set_ylim(min(peaks) * LOG_LR_FLOOR, max(peaks) * 2)
    top.set_ylabel("learning rate")
    bottom.set_ylabel("momentum or beta1")
    bottom.set_xlabel("epoch")
    bottom.set_xlim(0, max(sequence.epochs[-1] for sequence in drawn))
    figure.legend(
        handles=lines, loc="outside right upper", fontsize=8.5, frameon=False, handlelength=4
    )
    explain(figure, CAPTION)
    return figure


def _styles(recipes: Sequence[Recipe]) -> list[dict[str, Any]]:
    """A colour for each optimizer, a marker for each line; lines of one colour differ in dashes."""
    names = list(dict.fromkeys(recipe.optimizer_name for recipe in recipes))
    seen = dict.fromkeys(COLOURS, 0)
    styles = []
    for i, recipe in enumerate(recipes):
        colour = COLOURS[names.index(recipe.optimizer_name) % len(COLOURS)]
        style = TRIAL_STYLES[seen[colour] % len(TRIAL_STYLES)]
        marker = {"marker": MARKERS[i % len(MARKERS)], "ms": 5.5, "markevery": _marked(i, recipes)}
        styles.append({"color": colour, "ls": style, "lw": 1.6, "alpha": 0.9, **marker})
        seen[colour] += 1
    return styles


def _marked(place: int, recipes: Sequence[Recipe]) -> tuple[float, float]:
    """Where a line has its markers, in shares of the axes: beside those of the others."""
    return (MARKED_EVERY * place / len(recipes), MARKED_EVERY)


def _draw(
    top: Axes,
    bottom: Axes,
    sequence: lr_sequences.Sequence,
    recipe: Recipe,
    style: dict[str, Any],
) -> Line2D:
    lrs = [lr if lr > 0 else float("nan") for lr in sequence.lrs]
    drawstyle = "steps-post" if len(lrs) < lr_sequences.MOST_POINTS else "default"
    (line,) = top.plot(sequence.epochs, lrs, drawstyle=drawstyle, label=_label(recipe), **style)
    if sequence.momenta is not None:
        bottom.plot(sequence.epochs, sequence.momenta, drawstyle=drawstyle, **style)
    return line


def _label(recipe: Recipe) -> str:
    schedule = recipe.schedule_name
    warmup = f", warm-up {100 * recipe.warmup:.3g} %" if recipe.warmup else ""
    if recipe.warmup_steps:
        warmup = f", warm-up {recipe.warmup_steps} steps"
    until = ", if the loss only falls" if schedule_info(schedule, "schedule").needs_metric else ""
    optimizer = f"{short_name(recipe.optimizer_name)} {recipe.lr:.2g}"
    return f"{optimizer} · {schedule}{warmup}{until}"


def save_preview(recipes: Sequence[Recipe], steps_per_epoch: int, path: Path) -> None:
    """Write the picture, of the recipes whose schedule is known here.

    Raises SpecError for a name or place that cannot hold one, and where there is nothing to draw.
    """
    recipes = [recipe for recipe in recipes if recipe.schedule_name != SCRIPT]
    if not recipes:
        raise SpecError("--plot: the schedule is the script's own, so there is nothing to draw")
    save(lambda: preview_figure(recipes, steps_per_epoch), path)
