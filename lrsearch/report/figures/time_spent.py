"""Where did the time go? The workers' time, by what they did, and what nothing stored tells of."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING

import altair as alt

from lrsearch.confirmation.runs import CHOOSE, REPORT, TEST
from lrsearch.report.colours import BLUE, GREEN, GREY, ORANGE, SKY
from lrsearch.report.figures import looks
from lrsearch.report.figures.clock import UNITS, unit_of
from lrsearch.report.figures.figure import Figure
from lrsearch.report.model import Report
from lrsearch.report.text.format import counted, duration, percent
from lrsearch.trial.states import TrialState

if TYPE_CHECKING:
    from lrsearch.report.figures.figure import Chart

BEFORE, SEARCH, AUDIT, CONFIRMATION, REST = (
    "before the search",
    "search",
    "audit of pruning",
    "confirmation",
    "not training",
)
GROUP_COLOURS = {BEFORE: SKY, SEARCH: BLUE, AUDIT: ORANGE, CONFIRMATION: GREEN, REST: GREY}
ROUNDS = {
    CHOOSE: "confirmation: choosing",
    REPORT: "confirmation: reporting",
    TEST: "confirmation: test set",
}
TRIALS = " trials"
#: Height of a part, in pixels.
ROW = 24
#: The axis is so many times as long as the longest bar: its words stand beside it.
ROOM = 1.35


@dataclass(frozen=True, kw_only=True)
class Part:
    """What workers spent time on."""

    #: `pruned trials`
    name: str
    #: A key of GROUP_COLOURS.
    group: str
    #: How many trials, runs or tests; None of what is not counted.
    count: int | None
    #: Summed over workers. Trials that trained in one program have a share of its time each.
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TimeSpent:
    """Parts in the order of a study."""

    parts: tuple[Part, ...]
    #: From the first to the last sign of each worker, summed; None where they are not known, or
    #: where what was trained takes longer than that.
    present: float | None
    workers: int

    @property
    def total(self) -> float:
        return fsum(part.seconds for part in self.parts)


def time_spent(report: Report) -> TimeSpent:
    """Parts that took any time; the last is the rest of the workers' time, if that is known."""
    trained = [part for part in _trained(report) if part.seconds > 0]
    busy = fsum(part.seconds for part in trained)
    present: float | None = fsum(
        max(0.0, (worker.ended_at or worker.seen_at) - worker.started_at)
        for worker in report.workers
    )
    if not present or present < busy:
        present = None
    rest = 0.0 if present is None else present - busy
    unknown = Part(name="start-up, waiting, other", group=REST, count=None, seconds=rest)
    return TimeSpent(
        parts=(*trained, *([unknown] if trained and rest > 0 else [])),
        present=present,
        workers=len(report.workers),
    )


def _trained(report: Report) -> Iterator[Part]:
    tests = [test for test in report.range_tests if test.seconds > 0]
    yield Part(
        name="range tests",
        group=BEFORE,
        count=len(tests),
        seconds=fsum(test.seconds for test in tests),
    )
    measured = [e.probe_seconds + e.calibration_seconds for e in report.engines]
    yield Part(
        name="measuring how many to fuse",
        group=BEFORE,
        count=None,
        seconds=fsum(measured),
    )
    for state in TrialState:
        trials = [trial for trial in report.trials if trial.state == state]
        yield Part(
            name=f"{state.value}{TRIALS}",
            group=SEARCH,
            count=len(trials),
            seconds=fsum(trial.seconds - trial.audit_seconds for trial in trials),
        )
    audited = [trial for trial in report.trials if trial.audit_seconds > 0]
    yield Part(
        name="audited trials, beyond the rung",
        group=AUDIT,
        count=len(audited),
        seconds=fsum(trial.audit_seconds for trial in audited),
    )
    for round_, name in ROUNDS.items():
        runs = [run for run in report.runs if run.round == round_ and run.seconds > 0]
        yield Part(
            name=name, group=CONFIRMATION, count=len(runs), seconds=fsum(r.seconds for r in runs)
        )


def figure(report: Report) -> Figure | None:
    """None before anything was trained."""
    found = time_spent(report)
    if not found.parts:
        return None
    answer = _answer(found)
    return Figure(
        name="time_spent",
        title="Where did the time go?",
        caption=f"{answer} {_unknown(found)} Bars are sums over workers, {_counts(found)}.",
        alt=f"Time by what workers did. {answer}",
        chart=_chart(found),
    )


def _answer(found: TimeSpent) -> str:
    """The share of each group, the largest first."""
    shares = {
        group: fsum(part.seconds for part in found.parts if part.group == group) / found.total
        for group in GROUP_COLOURS
    }
    largest = sorted(((share, group) for group, share in shares.items() if share), reverse=True)
    told = ", ".join(f"{percent(share)} % {group}" for share, group in largest)
    whole = duration(found.total)
    if found.present is None:
        return f"Of {whole} of training: {told}."
    return f"Of {whole} on {counted(found.workers, 'worker')}: {told}."


def _unknown(found: TimeSpent) -> str:
    """What no stored time tells."""
    validation = "Validation counts as training: it is not timed apart."
    if found.present is None:
        return f"{validation} How long workers started, waited or were idle is not known."
    return (
        f"{validation} What a worker did not train is the rest of the time from its first sign to "
        "its last: start-up, reading data, choosing recipes, waiting for others, writing, and work "
        "that was lost with a worker."
    )


def _counts(found: TimeSpent) -> str:
    """`of 12 complete, 23 pruned trials`"""
    searched = [part for part in found.parts if part.count and part.group == SEARCH]
    told = ", ".join(f"{part.count} {part.name.removesuffix(TRIALS)}" for part in searched)
    return f"of {told} trials" if told else "and no trial has trained yet"


def _chart(found: TimeSpent) -> "Chart":
    unit = unit_of(max(part.seconds for part in found.parts))
    bars = bars_of(found, unit)
    groups = [group for group in GROUP_COLOURS if any(bar.group == group for bar in bars)]
    scale = alt.Scale(domain=groups, range=[GROUP_COLOURS[group] for group in groups])
    longest = max(bar.time for bar in bars)
    base = alt.Chart(looks.data(bars)).encode(
        x=alt.X(
            "time",
            type="quantitative",
            title=f"{unit}, summed over workers",
            scale=alt.Scale(domain=[0, ROOM * longest], nice=False),
            axis=alt.Axis(grid=False, tickCount=6),
        ),
        y=alt.Y("name", type="nominal", sort=[bar.name for bar in bars], title=None),
        tooltip=looks.tips("name:N", "group:N", "told:N", "count:Q"),
    )
    bar = base.mark_bar(height=ROW - 8).encode(
        color=alt.Color("group", type="nominal", scale=scale, title=None)
    )
    told = base.mark_text(align="left", dx=5).encode(text=alt.Text("told", type="nominal"))
    joined: Chart = alt.layer(bar, told).properties(height=alt.Step(ROW))
    return joined


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A part as it is drawn."""

    name: str
    group: str
    count: int | None
    #: In the unit of the axis.
    time: float
    #: `12 s, 34 %`
    told: str


def bars_of(found: TimeSpent, unit: str) -> list[Bar]:
    return [
        Bar(
            name=part.name,
            group=part.group,
            count=part.count,
            time=part.seconds / UNITS[unit],
            told=f"{duration(part.seconds)}, {percent(part.seconds / found.total)} %",
        )
        for part in found.parts
    ]
