"""What the learning rate of the best recipes does over the training, step by step."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import altair as alt

from lrsearch.report.figures import looks
from lrsearch.report.figures.figure import Figure
from lrsearch.report.figures.looks import data
from lrsearch.report.model import Report
from lrsearch.report.plots import series
from lrsearch.report.plots.lr_sequences import thin
from lrsearch.report.shown import shown_trials, shown_words

HEIGHT = 240
#: A line needs no more points than this where it is smooth.
MOST_POINTS = 120
#: A log axis ends at most by this factor below the lowest peak, and by ROOM beyond the lines.
LOG_DEPTH, ROOM = 1000, 1.3
#: Between two points a change of this share of the peak is a jump, whose two ends are drawn.
JUMP = 0.02


EPOCHS = alt.Axis(tickCount=8, grid=False)


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The learning rate from this epoch on."""

    trial: int
    optimizer: str
    schedule: str
    label: str
    epoch: float
    lr: float


def rates(report: Report) -> tuple[Rate, ...]:
    """Of the trials that are drawn one by one, as their schedulers set it."""
    found = []
    for trial, sequence in zip(shown_trials(report), series.sequences(report), strict=True):
        if trial.number is None or trial.parsed is None:
            continue
        for i in kept(sequence.lrs):
            found.append(
                Rate(
                    trial=trial.number,
                    optimizer=trial.parsed.optimizer_name,
                    schedule=trial.parsed.schedule_name,
                    label=trial.label,
                    epoch=sequence.epochs[i],
                    lr=sequence.lrs[i],
                )
            )
    return tuple(found)


def kept(lrs: Sequence[float]) -> list[int]:
    """The places of a line that are drawn: evenly spread, and where it jumps or turns around.

    A cut of the learning rate would else look like a slope, and a short cycle lose its peak.
    """
    tall = JUMP * max(lrs, default=0.0)
    steps = [after - before for before, after in pairwise(lrs)]
    found = set(thin(len(lrs), MOST_POINTS))
    for i, (before, after) in enumerate(pairwise([0.0, *steps, 0.0])):
        if max(abs(before), abs(after)) > tall or before * after < 0:
            found.add(i)
    return sorted(found)


def _log_scale(peaks: Sequence[float], lrs: Sequence[float]) -> alt.Scale:
    """Down to the lowest rate, but not far below the lowest peak: schedules fall to almost 0."""
    low = max(min(peaks) / LOG_DEPTH, min(lrs))
    return alt.Scale(type="log", domain=[low / ROOM, max(peaks) * ROOM], clamp=True, nice=False)


def _caption(report: Report, found: Sequence[Rate]) -> str:
    numbers = list(dict.fromkeys(rate.trial for rate in found))
    said = (
        f"The learning rate of each step, of {shown_words(report, numbers)}. It is what the "
        "scheduler sets"
    )
    if any(rate.schedule == "plateau" for rate in found):
        return f"{said}; for plateau it is what was recorded at the validations."
    return f"{said}."


def figure(report: Report) -> Figure | None:
    """None before a trial is complete, and for a command, whose script decides each step."""
    if report.spec.program == "command":
        return None
    found = rates(report)
    labels = list(dict.fromkeys(rate.label for rate in found))
    if not labels:
        return None
    positive = [rate for rate in found if rate.lr > 0]
    peaks = [max(rate.lr for rate in positive if rate.label == label) for label in labels]
    wide = max(peaks) > 10**0.5 * min(peaks)
    scale = _log_scale(peaks, [rate.lr for rate in positive]) if wide else alt.Scale()
    drawn = positive if wide else list(found)
    chart = alt.Chart(data(drawn)).mark_line(strokeWidth=2)
    chart = chart.encode(
        alt.X("epoch:Q", title="epoch", axis=EPOCHS, scale=alt.Scale(domainMin=0, nice=False)),
        alt.Y(
            "lr:Q",
            title="learning rate",
            scale=scale,
            axis=alt.Axis(format="~e" if wide else "~g", tickCount=5, grid=not wide),
        ),
        looks.trial_colour(labels),
        looks.trial_dash(labels),
        tooltip=looks.tips("label:N", "epoch:Q", "lr:Q"),
    ).properties(height=HEIGHT)
    return Figure(
        name="schedules",
        title="What does the learning rate do over the training?",
        caption=_caption(report, found),
        alt=f"Learning rate against epochs for trial {'; trial '.join(labels)}.",
        chart=chart,
    )
