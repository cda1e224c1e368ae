"""The pictures of a report as PNG files, for light and for dark pages."""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lrsearch.errors import StudyError
from lrsearch.range_test.analysis import RangeTest
from lrsearch.report.model import Report
from lrsearch.report.plots import confirmation as plots_confirmation
from lrsearch.report.plots import plots, range_test, series
from lrsearch.report.plots.looks import draw_legend, explain

DOTS_PER_INCH = 150
PANELS_PER_ROW = 3

STYLE: dict[Any, Any] = {
    "font.size": 10.5,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.axisbelow": True,
}
#: Of a dark page: what is black and white on a light one.
DARK_INK, DARK_PAPER = "#e6e6e6", "#1d2126"


@dataclass(frozen=True, kw_only=True)
class Png:
    """A picture as two PNG files, alike but for their theme."""

    light: bytes
    dark: bytes


def _figure(height: float) -> Figure:
    return Figure(figsize=(7.5, height), dpi=DOTS_PER_INCH, layout="constrained")


def history(report: Report) -> Figure:
    figure = _figure(4.2)
    draw_legend(figure, plots.plot_history(series.history(report), figure.add_subplot()))
    return figure


def curves(report: Report) -> Figure:
    figure = _figure(4.4)
    objective = report.spec.objective
    handles = plots.plot_curves(
        series.curves(report),
        figure.add_subplot(),
        metric=objective.metric,
        direction=objective.direction,
    )
    draw_legend(figure, handles, columns=2)
    return figure


def lr(report: Report) -> Figure:
    """Learning rates, and below them momentum where a schedule cycles it."""
    drawn, styled = series.sequences(report), series.curves(report)
    cycled = any(sequence.momenta is not None for sequence in drawn)
    figure = _figure(6.0 if cycled else 4.4)
    if cycled:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    else:
        top, bottom = figure.add_subplot(), None
    draw_legend(figure, plots.plot_lr_sequences(drawn, styled, top, bottom), columns=2)
    return figure


def lr_value(report: Report) -> Figure:
    """Value against learning rate; all panels share their value axis."""
    points = series.lr_points(report)
    tried = {point.optimizer for point in points}
    optimizers = [name for name in report.spec.space.optimizers if name in tried]
    optimizers += sorted(tried - set(optimizers))  # an enqueued recipe may have another
    rows = max(1, math.ceil(len(optimizers) / PANELS_PER_ROW))
    columns = min(max(1, len(optimizers)), PANELS_PER_ROW)
    figure = _figure(1.0 + 3.2 * rows)
    axes: dict[str, Axes] = {}
    for i, name in enumerate(optimizers):
        axes[name] = figure.add_subplot(
            rows, columns, i + 1, sharey=next(iter(axes.values()), None)
        )
        axes[name].tick_params(labelleft=i % columns == 0)
    objective = report.spec.objective
    if optimizers:
        handles = plots.plot_lr_against_value(
            points, axes, metric=objective.metric, direction=objective.direction
        )
        draw_legend(figure, handles)
    else:
        figure.text(0.5, 0.5, "no trial has ended yet", ha="center", va="center")
    return figure


def confirmation(report: Report) -> Figure:
    """Every seed of the finalists."""
    figure = _figure(4.0)
    objective = report.spec.objective
    handles = plots_confirmation.plot_seeds(
        report.confirmed,
        figure.add_subplot(),
        metric=objective.metric,
        direction=objective.direction,
    )
    draw_legend(figure, handles)
    return figure


def range_tests(results: Sequence[RangeTest]) -> Figure:
    """Loss against learning rate, a panel for each optimizer."""
    figure = _figure(1.2 + 3.0 * max(1, math.ceil(len(results) / PANELS_PER_ROW)))
    range_test.draw(results, figure, PANELS_PER_ROW)
    return figure


def _range_tests(report: Report) -> Figure:
    return range_tests([test.parsed for test in report.range_tests if test.parsed is not None])


FIGURES: dict[str, Callable[[Report], Figure]] = {
    "history": history,
    "curves": curves,
    "lr": lr,
    "lr_value": lr_value,
    "confirmation": confirmation,
    "range_test": _range_tests,
}


def png(report: Report, name: str) -> Png:
    """The picture `name` of FIGURES; equal reports give equal bytes."""
    return render(lambda: FIGURES[name](report))


def render(draw: Callable[[], Figure]) -> Png:
    """A figure as PNG files. It is drawn and laid out once, and recoloured for the dark one."""
    with matplotlib.rc_context(STYLE):
        figure = draw()
        light = _saved(figure)
        figure.set_layout_engine(
            "none"
        )  # the layout that there is stays, which saves half the time
        darken(figure)
        return Png(light=light, dark=_saved(figure))


def _saved(figure: Figure) -> bytes:
    """It is drawn once: `savefig` draws it a second time to find out how large it is."""
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(  # type: ignore[no-untyped-call]
        file, metadata={"Software": None}
    )
    return file.getvalue()


def darken(figure: Figure) -> None:
    """Give paper and ink the colours of a dark page; what is drawn in colours stays as it is."""
    figure.set_facecolor(DARK_PAPER)
    for ax in figure.axes:
        ax.set_facecolor(DARK_PAPER)
        ax.tick_params(which="both", colors=DARK_INK)
        ax.spines[:].set_edgecolor(DARK_INK)
        offsets = (ax.xaxis.get_offset_text(), ax.yaxis.get_offset_text())
        for text in (ax.title, ax.xaxis.label, ax.yaxis.label, *offsets, *ax.texts):
            text.set_color(DARK_INK)
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    for text in (*figure.texts, *legends):
        text.set_color(DARK_INK)


def _explained(results: Sequence[RangeTest]) -> Figure:
    figure = range_tests(results)
    explain(figure, range_test.CAPTION)
    return figure


def draw_range_tests(results: Sequence[RangeTest], path: Path) -> None:
    """Write the picture of range tests. Raises StudyError if it cannot be written."""
    try:
        path.write_bytes(render(lambda: _explained(results)).light)
    except OSError as error:
        raise StudyError(f"--plot {path}: {error.strerror}") from error
