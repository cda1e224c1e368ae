"""How pictures look: colours, lines, labels and legends that they share.

Colours are Okabe and Ito's, which the colour-blind tell apart; marker or line style says the same
thing once more.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lrsearch.catalog.script import SCRIPT, in_words
from lrsearch.errors import SpecError
from lrsearch.report.colours import COLOURS, GREY
from lrsearch.report.plots.series import Curve

DOTS_PER_INCH = 150
STYLE: dict[Any, Any] = {
    "font.size": 10.5,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.axisbelow": True,
}
TRIAL_STYLES: tuple[Any, ...] = (
    "-",
    (0, (6, 2)),
    (0, (3, 1, 1, 1)),
    (0, (1, 1)),
    (0, (8, 2, 2, 2)),
)
#: For lines of which there are more than colours and styles tell apart: each has its own.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")
#: Learning rates fall to 0, which a log scale cannot show: it ends so far below the lowest peak.
LOG_LR_FLOOR = 1e-3
#: Characters of a line above the axes.
LINE = 110


def short_name(optimizer: str) -> str:
    """The class alone of an optimizer that is not torch's: pictures have little room."""
    if optimizer == SCRIPT:
        return in_words(optimizer)
    return optimizer.rpartition(".")[2].rpartition(":")[2]


def trial_styles(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """Colour, line and label for each; the best is thick, the baseline grey and dotted."""
    styles = []
    for i, curve in enumerate(curves):
        style: dict[str, Any] = {
            "color": COLOURS[i % len(COLOURS)],
            "ls": TRIAL_STYLES[i % len(TRIAL_STYLES)],
            "lw": 1.5,
            "label": _curve_label(curve),
        }
        if curve.best:
            style["lw"] = 2.5
        if curve.baseline:
            style |= {"color": GREY, "ls": "--"}
        styles.append(style)
    return styles


def _curve_label(curve: Curve) -> str:
    roles = {"best": curve.best, "confirmed": curve.confirmed, "baseline": curve.baseline}
    named = [role for role, holds in roles.items() if holds]
    return f"{curve.label} ({', '.join(named)})" if named else curve.label


def value_label(metric: str, direction: str) -> str:
    better = "lower" if direction == "minimize" else "higher"
    return f"{metric} ({better} is better)"


def explain(figure: Figure, text: str) -> None:
    """Words above the axes that say what the marks mean."""
    figure.suptitle("\n".join(wrap(text, LINE)), fontsize="small", x=0.01, ha="left")


def note_if_empty(ax: Axes, anything: bool, text: str) -> None:
    if not anything:
        ax.set_yticks([])
        ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center")


def draw_legend(figure: Figure, handles: Sequence[Line2D | Patch], columns: int = 4) -> None:
    """Below the axes, where it hides nothing."""
    if handles:
        rows = math.ceil(len(handles) / columns)
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=math.ceil(len(handles) / rows),
            frameon=False,
            fontsize="small",
        )


def format_of(path: Path) -> str:
    """The format that the path's ending names, PNG without one. Raises SpecError for another."""
    ending = path.suffix.removeprefix(".").lower() or "png"
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if ending not in known:
        raise SpecError(f"--plot {path}: its ending is none of {', '.join(known)}")
    return ending


def save(draw: Callable[[], Figure], path: Path) -> None:
    """Draw a picture and write it, see `format_of`.

    Raises SpecError for an ending that names no format, and for a place that cannot be written.
    """
    kind = format_of(path)
    with matplotlib.rc_context(STYLE):
        figure = draw()
        try:
            figure.savefig(path, format=kind, dpi=DOTS_PER_INCH)
        except OSError as error:
            raise SpecError(f"--plot {path}: {error.strerror}") from error
