"""Where were trials stopped? How many came to each rung, and how many went on from it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import altair as alt

from lrsearch.report.colours import BLUE, GREEN, GREY
from lrsearch.report.figures import looks
from lrsearch.report.figures.figure import SCHEDULE, Figure
from lrsearch.report.model import Report
from lrsearch.report.text.format import counted
from lrsearch.report.text.rung_samples import rung_samples_sentence
from lrsearch.trial.states import TrialState

if TYPE_CHECKING:
    from lrsearch.report.figures.figure import Chart

#: What became of trials at a rung.
WENT_ON, STOPPED, WAITS = "went on", "stopped", "waits"
GONE_ON = "A trial that {} went on."
#: Of those that came to a rung and were not stopped there, what else became of some.
ELSE = {TrialState.DIVERGED: "diverged later", TrialState.RUNNING: "still runs"}
#: What became of those that came no further, by their states.
HERE = {TrialState.PRUNED.value: STOPPED, TrialState.WAITING.value: WAITS}
COLOURS = {WENT_ON: BLUE, WAITS: GREEN, STOPPED: GREY}
#: Height of a schedule, in pixels.
ROW = 18


@dataclass(frozen=True, kw_only=True)
class Bar:
    """Trials of one schedule at one rung that went on, were stopped there, or wait there."""

    #: 0-based.
    rung: int
    #: `20 %`: the share of a full training.
    place: str
    schedule: str
    what: str
    trials: int


def bars(report: Report) -> tuple[Bar, ...]:
    """Of the trials that left a mark at a rung; those that run are counted where they are."""
    pruning = report.spec.pruning
    if pruning is None:
        return ()
    trials = {trial.id: trial for trial in report.trials}
    last = {mark.trial: mark.rung for mark in sorted(report.marks, key=lambda mark: mark.rung)}
    counts: Counter[tuple[int, str, str]] = Counter()
    for mark in report.marks:
        trial = trials.get(mark.trial)
        if trial is None or trial.parsed is None or mark.rung >= len(pruning.rungs):
            continue
        is_here = last[mark.trial] == mark.rung
        what = HERE.get(trial.state, WENT_ON) if is_here else WENT_ON
        counts[mark.rung, trial.parsed.schedule_name, what] += 1
    return tuple(
        Bar(
            rung=rung,
            place=f"{100 * pruning.rungs[rung]:.3g} %",
            schedule=schedule,
            what=what,
            trials=count,
        )
        for (rung, schedule, what), count in sorted(counts.items())
    )


def figure(report: Report) -> Figure | None:
    """None of a study without pruning, and before a trial has come to a rung."""
    found = bars(report)
    if not found:
        return None
    answer = _answer(found)
    return Figure(
        name="rungs",
        title="Where were trials stopped?",
        caption=" ".join([answer, *_samples(report), *_audit(report), *_gone_on(report)]),
        alt=f"Trials that went on and that were stopped at each rung. {answer}",
        chart=_chart(found),
    )


def _answer(found: Sequence[Bar]) -> str:
    """How many came to each rung, and how many were stopped there or wait."""
    places = dict.fromkeys(bar.place for bar in sorted(found, key=lambda bar: bar.rung))
    stopped, waiting = [], []
    for place in places:
        counts: Counter[str] = Counter()
        for bar in found:
            counts[bar.what] += bar.trials if bar.place == place else 0
        stopped.append(f"{counts[STOPPED]} of {counts.total()} at {place}")
        waiting += [f"{counts[WAITS]} at {place}"] if counts[WAITS] else []
    said = f"Stopped were {', '.join(stopped)} of a full training."
    if not waiting:
        return said
    return f"{said} Until it is known which are the best, {', '.join(waiting)} wait."


def _gone_on(report: Report) -> list[str]:
    """What else counts as having gone on, where there is such a trial."""
    marked = {mark.trial for mark in report.marks}
    states = {trial.state for trial in report.trials if trial.id in marked}
    found = [words for state, words in ELSE.items() if state in states]
    return [GONE_ON.format(", or that ".join(found))] if found else []


def _samples(report: Report) -> list[str]:
    """On what trials were compared, where that was a part of the validation set."""
    said = rung_samples_sentence(report.spec, report.study.steps_per_epoch)
    return [] if said is None else [said]


def _audit(report: Report) -> list[str]:
    """How often that was wrong, as far as audited trials tell."""
    overall = report.audit.overall
    if not overall.audited:
        return []
    audited = counted(overall.audited, "trial")
    said = f"{audited} that would have been stopped went on to be audited"
    interval = ""
    if overall.ci95 is not None:
        low, high = (100 * end for end in overall.ci95)
        interval = f" (95 % interval of the share: {low:.2g} to {high:.2g} %)"
    return [f"{said}: {overall.false} of them would have been among the best{interval}."]


def _chart(found: Sequence[Bar]) -> "Chart":
    """A panel for each rung; all have the same schedules and the same length."""
    schedules = sorted({bar.schedule for bar in found})
    came = Counter[tuple[str, str]]()
    for bar in found:
        came[bar.place, bar.schedule] += bar.trials
    places = dict.fromkeys(bar.place for bar in sorted(found, key=lambda bar: bar.rung))
    waits = any(bar.what == WAITS for bar in found)
    shown = [what for what in COLOURS if what != WAITS or waits]
    most = max(came.values())
    panels = [
        _panel([bar for bar in found if bar.place == place], place, schedules, most, shown)
        for place in places
    ]
    joined: Chart = alt.concat(*panels, columns=looks.PANELS_PER_ROW)
    return joined


def _panel(
    bars: Sequence[Bar], place: str, schedules: Sequence[str], most: int, shown: Sequence[str]
) -> alt.Chart:
    scale = alt.Scale(domain=list(shown), range=[COLOURS[what] for what in shown])
    base = alt.Chart(looks.data(bars), title=f"at {place} of a full training").mark_bar(height=12)
    panel: alt.Chart = base.encode(
        alt.X(
            "trials",
            type="quantitative",
            title="trials",
            scale=alt.Scale(domain=[0, most], nice=False),
            axis=alt.Axis(format="d", tickCount=min(5, max(1, most)), grid=False),
        ),
        alt.Y(
            SCHEDULE,
            type="nominal",
            title=None,
            sort=list(schedules),
            scale=alt.Scale(domain=list(schedules)),
        ),
        alt.Color("what", type="nominal", scale=scale, title=None),
        alt.Order("what", type="nominal", sort="descending"),
        tooltip=looks.tips("place:N", f"{SCHEDULE}:N", "what:N", "trials:Q"),
    )
    return panel.properties(width=looks.PANEL_WIDTH, height=ROW * len(schedules))
