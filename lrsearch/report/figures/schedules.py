"""What the learning rate of the best recipes does over the training, step by step."""

from dataclasses import dataclass

import altair as alt

from lrsearch.report.figures import looks
from lrsearch.report.figures.figure import Figure
from lrsearch.report.figures.looks import data
from lrsearch.report.model import Report
from lrsearch.report.plots import series
from lrsearch.report.plots.lr_sequences import thin
from lrsearch.report.shown import shown_trials
from lrsearch.report.text.format import counted

HEIGHT = 240
#: A line needs no more points than this.
MOST_POINTS = 120


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
        for i in thin(len(sequence.lrs), MOST_POINTS):
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
    scale = alt.Scale(type="log", domainMin=min(peaks) / 1000, clamp=True) if wide else alt.Scale()
    drawn = positive if wide else list(found)
    chart = alt.Chart(data(drawn)).mark_line(strokeWidth=2)
    chart = chart.encode(
        alt.X("epoch:Q", title="epoch", axis=EPOCHS, scale=alt.Scale(domainMin=0, nice=False)),
        alt.Y(
            "lr:Q",
            title="learning rate",
            scale=scale,
            axis=alt.Axis(format="~e" if wide else "~g", tickCount=5),
        ),
        looks.trial_colour(labels),
        looks.trial_dash(labels),
        tooltip=looks.tips("label:N", "epoch:Q", "lr:Q"),
    ).properties(height=HEIGHT)
    return Figure(
        name="schedules",
        title="What does the learning rate do over the training?",
        caption=f"The learning rate of each step, of {counted(len(labels), 'trial')}: the best, "
        "the confirmed ones and the baseline. It is what the scheduler sets; for plateau it is "
        "what was recorded at the validations.",
        alt=f"Learning rate against epochs for trial {'; trial '.join(labels)}.",
        chart=chart,
    )
