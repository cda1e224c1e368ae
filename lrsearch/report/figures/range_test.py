"""Where does training start, and where does it break? The range test of each optimizer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

import altair as alt

from lrsearch.range_test.analysis import RangeTest, median_curve
from lrsearch.report.colours import BLUE, GREEN, ORANGE, RED, SKY
from lrsearch.report.figures import looks
from lrsearch.report.figures.figure import OPTIMIZER, Figure
from lrsearch.report.figures.looks import (
    PANEL_HEIGHT,
    PANEL_WIDTH,
    PANELS_PER_ROW,
    data,
)
from lrsearch.report.model import Report
from lrsearch.report.text.format import counted, learning_rate

#: The axis of losses reaches above the start and below the lowest by these shares of the deepest
#: fall: what diverges leaves it.
HEADROOM, FOOTROOM = 0.4, 0.1
#: The readings that are drawn, with their colours and dashes.
READINGS = {"valley": (GREEN, [1, 3]), "lowest / 10": (ORANGE, [6, 2, 1, 2]), "edge": (RED, [6, 4])}
#: What they are.
MEANINGS = {
    "valley": "Valley is the middle of the longest fall.",
    "lowest / 10": "Lowest / 10 is a tenth of the learning rate with the lowest loss.",
    "edge": "Edge is where the loss has climbed back by half of its fall.",
}
LR, LR2, LOSS, SEED, READING = "lr", "lr2", "loss", "seed", "reading"


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Of a batch at a learning rate, or the smoothed median of the seeds."""

    optimizer: str
    lr: float
    loss: float
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Read:
    """What was read from a test."""

    optimizer: str
    reading: str
    lr: float
    lr2: float | None = None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The test of one optimizer."""

    optimizer: str
    title: str
    losses: tuple[Loss, ...]
    median: tuple[Loss, ...]
    readings: tuple[Read, ...]
    window: Read | None
    #: Ends of the axis of losses.
    low: float
    high: float


def panel_of(test: RangeTest) -> Panel | None:
    """None where no loss was finite."""
    losses = [
        Loss(optimizer=test.name, lr=lr, loss=loss, seed=ramp.seed)
        for ramp in test.ramps
        for lr, loss in zip(ramp.lrs, ramp.losses, strict=True)
        if isfinite(loss)
    ]
    lrs, middle = median_curve(test) if losses else ([], [])
    if not middle:
        return None
    lowest = min(each.loss for each in losses)
    fall = max(middle[0] - lowest, 1e-3 * abs(middle[0]), 1e-12)
    found = zip(READINGS, (test.valley, test.min_over_10, test.edge), strict=True)
    window = test.window
    return Panel(
        optimizer=test.name,
        title=f"{looks.short_name(test.name)}: {counted(len(test.ramps), 'seed')}",
        losses=tuple(losses),
        median=tuple(
            Loss(optimizer=test.name, lr=lr, loss=loss)
            for lr, loss in zip(lrs, middle, strict=True)
        ),
        readings=tuple(
            Read(optimizer=test.name, reading=name, lr=spread.median)
            for name, spread in found
            if spread is not None
        ),
        window=None
        if window is None
        else Read(optimizer=test.name, reading="window", lr=window[0], lr2=window[1]),
        low=lowest - FOOTROOM * fall,
        high=middle[0] + HEADROOM * fall,
    )


def figure(report: Report) -> Figure | None:
    """None where no range test has ended."""
    tests = [test.parsed for test in report.range_tests if test.parsed is not None]
    panels = [panel for test in tests if (panel := panel_of(test)) is not None]
    if not panels:
        return None
    answer = _answer(panels)
    return Figure(
        name="range_test",
        title="Where does training start, and where does it break?",
        caption=" ".join([answer, *_explained(panels)]),
        alt=f"Training loss against learning rate, a panel for each optimizer. {answer}",
        chart=chart(panels),
    )


def _answer(panels: Sequence[Panel]) -> str:
    """From which window learning rates are drawn."""
    found = [(looks.short_name(panel.optimizer), panel.window) for panel in panels]
    spans = [
        f"from {learning_rate(window.lr)} to {learning_rate(window.lr2)} for {name}"
        for name, window in found
        if window is not None and window.lr2 is not None
    ]
    without = [name for name, window in found if window is None or window.lr2 is None]
    told = []
    if spans:
        told.append(f"Nine of ten learning rates are drawn {'; '.join(spans)}.")
    if without:
        told.append(f"For {', '.join(without)} no window was found.")
    return " ".join(told)


def _explained(panels: Sequence[Panel]) -> Iterator[str]:
    """What is drawn."""
    yield (
        "A fresh model is trained while the learning rate rises by 30 % each step. Thin lines are "
        "the losses of the batches, a line for each seed; the thick line is their smoothed median."
    )
    if any(panel.window is not None for panel in panels):
        yield (
            "The green area is that window. Where it goes beyond the range that is searched, no "
            "learning rate is drawn."
        )
    there = {read.reading for panel in panels for read in panel.readings}
    yield from (words for name, words in MEANINGS.items() if name in there)


def chart(panels: Sequence[Panel]) -> alt.ConcatChart:
    """A panel for each optimizer, its losses on an axis of its own."""
    joined: alt.ConcatChart = alt.concat(*map(_panel, panels), columns=PANELS_PER_ROW)
    return joined


def _panel(panel: Panel) -> looks.Layers:
    scale = alt.Scale(domain=[panel.low, panel.high], clamp=False, nice=False, zero=False)
    loss = alt.Y(LOSS, type="quantitative", scale=scale, title="training loss of a batch")
    at = looks.lr_axis(LR, "learning rate")
    tips = [f"{OPTIMIZER}:N", f"{LR}:Q", f"{LOSS}:Q", f"{SEED}:N"]
    drawn = []
    if panel.window is not None:
        area = alt.Chart(data([panel.window])).mark_rect(color=GREEN, opacity=0.15)
        drawn.append(
            area.encode(
                at, x2=alt.X2(LR2), tooltip=looks.tips(f"{READING}:N", f"{LR}:Q", f"{LR2}:Q")
            )
        )
    thin = alt.Chart(data(panel.losses)).mark_line(color=SKY, strokeWidth=0.8, clip=True)
    drawn.append(
        thin.encode(at, loss, detail=alt.Detail(SEED, type="nominal"), tooltip=looks.tips(*tips))
    )
    thick = alt.Chart(data(panel.median)).mark_line(color=BLUE, strokeWidth=2.5, clip=True)
    drawn.append(thick.encode(at, loss, tooltip=looks.tips(*tips)))
    if panel.readings:
        names = list(READINGS)
        colours = alt.Scale(domain=names, range=[colour for colour, _ in READINGS.values()])
        dashes = alt.Scale(domain=names, range=[dash for _, dash in READINGS.values()])
        rules = alt.Chart(data(panel.readings)).mark_rule(strokeWidth=2)
        drawn.append(
            rules.encode(
                at,
                alt.Color(READING, type="nominal", scale=colours, title=None),
                alt.StrokeDash(READING, type="nominal", scale=dashes, title=None),
                tooltip=looks.tips(f"{READING}:N", f"{LR}:Q"),
            )
        )
    return alt.layer(*drawn).properties(width=PANEL_WIDTH, height=PANEL_HEIGHT, title=panel.title)
