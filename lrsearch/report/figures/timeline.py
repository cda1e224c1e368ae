"""Who trained what, and when? A bar for each trial on its worker, with the faults it survived."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import altair as alt

from lrsearch.report.colours import PINK
from lrsearch.report.figures import looks
from lrsearch.report.figures.clock import UNITS, unit_of
from lrsearch.report.figures.figure import Figure
from lrsearch.report.model import Report
from lrsearch.report.text.format import counted, duration
from lrsearch.storage.worker_identity import place

if TYPE_CHECKING:
    from lrsearch.report.figures.figure import Chart

#: More workers than this are not drawn one by one.
MOST_WORKERS = 40


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """From a trial's first start to its end, in `unit` since the first trial began."""

    trial: int
    optimizer: str
    schedule: str
    state: str
    #: Its last one.
    worker: str
    begin: float
    end: float
    #: 1 where nothing interrupted it.
    attempts: int


def stretches(report: Report) -> tuple[Stretch, ...]:
    """Of the ended trials of the workers that ended the most."""
    ended = [
        trial
        for trial in report.trials
        if trial.ended_at is not None and trial.worker and trial.parsed and trial.number is not None
    ]
    if not ended:
        return ()
    start = min(trial.started_at for trial in ended)
    one = UNITS[unit(report)]
    found = [
        Stretch(
            trial=trial.number or 0,
            optimizer="" if trial.parsed is None else trial.parsed.optimizer_name,
            schedule="" if trial.parsed is None else trial.parsed.schedule_name,
            state=trial.state,
            worker=_short(trial.worker or ""),
            begin=(trial.started_at - start) / one,
            end=((trial.ended_at or start) - start) / one,
            attempts=trial.attempt,
        )
        for trial in ended
    ]
    busiest = sorted(
        {stretch.worker for stretch in found},
        key=lambda worker: -sum(stretch.worker == worker for stretch in found),
    )[:MOST_WORKERS]
    return tuple(stretch for stretch in found if stretch.worker in set(busiest))


def _short(worker: str) -> str:
    host, process = place(worker)
    return host if process is None else f"{host} {process}"


def unit(report: Report) -> str:
    """What times are told in."""
    ends = [trial.ended_at for trial in report.trials if trial.ended_at is not None]
    whole = max(ends) - min(trial.started_at for trial in report.trials) if ends else 0.0
    return unit_of(whole)


def figure(report: Report) -> Figure | None:
    """None before a trial of a worker has ended."""
    found = stretches(report)
    if not found:
        return None
    workers = list(dict.fromkeys(stretch.worker for stretch in found))
    again = sum(stretch.attempts > 1 for stretch in found)
    whole = duration(UNITS[unit(report)] * max(stretch.end for stretch in found))
    lines = [
        f"{counted(len(found), 'trial')} on {counted(len(workers), 'worker')} in {whole}.",
        f"{counted(again, 'trial')} went on after an interruption; a thick mark shows their start."
        if again
        else "No trial was interrupted.",
        "A trial stands on the worker that ended it. Trials that overlap on one worker trained in "
        "one program. Confirmation and range tests have no times in the database.",
    ]
    return Figure(
        name="timeline",
        title="Who trained what, and when?",
        caption=" ".join(lines),
        alt=f"Trials over time by worker. {lines[0]} {lines[1]}",
        chart=_chart(found, workers, unit(report)),
    )


def _chart(found: Sequence[Stretch], workers: Sequence[str], unit: str) -> "Chart":
    present = {stretch.state for stretch in found}
    states = [state for state in looks.STATE_COLOURS if state.value in present]
    row = alt.Y("worker", type="nominal", sort=list(workers), title=None)
    tips = looks.tips(
        "trial:Q", "state:N", "worker:N", "begin:Q", "end:Q", "attempts:Q", "optimizer:N"
    )
    bars = (
        alt.Chart(looks.data(looks.thinned(found)))
        .mark_bar(opacity=0.6, height=8, stroke="white", strokeWidth=0.3)
        .encode(
            x=alt.X("begin", type="quantitative", title=f"{unit} since the first trial began"),
            x2=alt.X2("end"),
            y=row,
            color=looks.state_colour("state", states),
            tooltip=tips,
        )
    )
    interrupted = [stretch for stretch in found if stretch.attempts > 1]
    if not interrupted:
        alone: Chart = alt.layer(bars)
        return alone
    marks = (
        alt.Chart(looks.data(interrupted))
        .mark_tick(color=PINK, thickness=3, size=14)
        .encode(x=alt.X("begin", type="quantitative"), y=row, tooltip=tips)
    )
    joined: Chart = alt.layer(bars, marks)
    return joined
