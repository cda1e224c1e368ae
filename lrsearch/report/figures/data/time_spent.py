"""What the workers' time went into, as far as stored rows tell: plain values, nothing drawn."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import fsum

from lrsearch.confirmation.runs import CHOOSE, REPORT, TEST
from lrsearch.report.model import Report
from lrsearch.trial.states import TrialState

#: What a part belongs to.
BEFORE, SEARCH, AUDIT, CONFIRMATION, REST = (
    "before the search",
    "search",
    "audit of pruning",
    "confirmation",
    "not training",
)
#: A part: how many trials fit into one program.
MEASURING = "measuring"
ROUNDS = {
    CHOOSE: "runs used to choose",
    REPORT: "runs used to measure",
    TEST: "test set runs",
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """What workers spent time on."""

    #: `pruned trials`
    name: str
    #: BEFORE, SEARCH, AUDIT, CONFIRMATION or REST.
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
    unknown = Part(name="the rest", group=REST, count=None, seconds=rest)
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
        name=MEASURING,
        group=BEFORE,
        count=None,
        seconds=fsum(measured),
    )
    for state in TrialState:
        trials = [trial for trial in report.trials if trial.state == state]
        yield Part(
            name=f"{state.value} trials",
            group=SEARCH,
            count=len(trials),
            seconds=fsum(trial.seconds - trial.audit_seconds for trial in trials),
        )
    audited = [trial for trial in report.trials if trial.audit_seconds > 0]
    yield Part(
        name="audited parts",
        group=AUDIT,
        count=len(audited),
        seconds=fsum(trial.audit_seconds for trial in audited),
    )
    for round_, name in ROUNDS.items():
        runs = [run for run in report.runs if run.round == round_ and run.seconds > 0]
        yield Part(
            name=name, group=CONFIRMATION, count=len(runs), seconds=fsum(r.seconds for r in runs)
        )
