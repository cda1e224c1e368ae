"""Who trained which trial when, and what was lost on the way: plain values, nothing drawn."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lrsearch.report.model import Report
from lrsearch.report.rows import Trial
from lrsearch.storage.worker_identity import place
from lrsearch.trial.states import TrialState

#: More workers than this are not drawn one by one: those that trained the most are.
MOST_WORKERS = 40


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """From a trial's first start to its end, or to now; in seconds since `Timeline.start`.

    In a planned search as long as it was trained: from its start, or up to its end if it was
    trained until then. When it went on after it waited is not stored.
    """

    trial: int
    optimizer: str
    schedule: str
    state: str
    #: That trained it last.
    worker: str
    begin: float
    end: float
    #: 1 where nothing interrupted it; what a plan lets go on is none.
    attempts: int
    #: 0, or more where the worker trained others at the same time: no two in a lane overlap.
    lane: int = 0


@dataclass(frozen=True, kw_only=True)
class Presence:
    """A worker's first and last sign, in seconds since `Timeline.start`."""

    worker: str
    begin: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Work that was found to be lost, and what was done, in seconds since `Timeline.start`."""

    #: That lost it.
    worker: str
    at: float
    what: str


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Of at most MOST_WORKERS workers."""

    #: Their names, the first to begin first.
    workers: tuple[str, ...]
    #: How many there were.
    of_workers: int
    stretches: tuple[Stretch, ...]
    is_planned: bool
    presences: tuple[Presence, ...]
    faults: tuple[Fault, ...]

    @property
    def lanes(self) -> int:
        """The most that a worker has."""
        return 1 + max((stretch.lane for stretch in self.stretches), default=0)

    @property
    def seconds(self) -> float:
        """From the first sign to the last."""
        return max(
            [
                0.0,
                *(stretch.end for stretch in self.stretches),
                *(presence.end for presence in self.presences),
                *(fault.at for fault in self.faults),
            ]
        )


def timeline(report: Report) -> Timeline:
    """Empty before a trial has begun on a worker; times are the database's."""
    trials = [trial for trial in report.trials if trial.worker and trial.parsed]
    starts = [trial.started_at for trial in trials]
    start = min([*starts, *(worker.started_at for worker in report.workers)], default=0.0)
    now = (report.study.first_ask_at or start) + report.elapsed
    marks = Counter(mark.trial for mark in report.marks)
    waited = None if report.plan.planned is None else marks
    counts = Counter(trial.worker for trial in trials if trial.worker)
    named = _labels([name for name, _ in counts.most_common(MOST_WORKERS)])
    found = _in_lanes(
        [
            stretch if waited is None else _without_waits(stretch, trial, waited[trial.id])
            for trial in trials
            if trial.worker in named
            for stretch in [_stretch(trial, named, start, now)]
        ]
    )
    return Timeline(
        workers=tuple(dict.fromkeys(stretch.worker for stretch in found)),
        of_workers=len(counts),
        stretches=tuple(found),
        is_planned=report.plan.planned is not None,
        presences=tuple(
            Presence(
                worker=named[worker.name],
                begin=worker.started_at - start,
                end=(worker.ended_at or worker.seen_at) - start,
            )
            for worker in report.workers
            if worker.name in named
        ),
        faults=tuple(
            Fault(worker=named[fault.worker], at=fault.at - start, what=fault.what)
            for fault in report.faults
            if fault.worker in named
        ),
    )


def _stretch(trial: Trial, named: Mapping[str, str], start: float, now: float) -> Stretch:
    recipe = trial.parsed
    assert recipe is not None  # a trial that was claimed by a worker has one, and a number
    return Stretch(
        trial=trial.number or 0,
        optimizer=recipe.optimizer_name,
        schedule=recipe.schedule_name,
        state=trial.state,
        worker=named[trial.worker or ""],
        begin=trial.started_at - start,
        end=max(trial.started_at, now if trial.ended_at is None else trial.ended_at) - start,
        attempts=trial.attempt,
    )


def _without_waits(stretch: Stretch, trial: Trial, waits: int) -> Stretch:
    """As long as it was trained; `waits` are the attempts that the plan asked for."""
    if not waits:
        return stretch
    attempts = max(1, stretch.attempts - waits)
    seconds = min(trial.seconds, stretch.end - stretch.begin)
    if trial.state in (TrialState.PRUNED, TrialState.WAITING):
        return replace(stretch, end=stretch.begin + seconds, attempts=attempts)
    return replace(stretch, begin=stretch.end - seconds, attempts=attempts)


def _in_lanes(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Each in its worker's first lane that is free when it begins, as it is drawn."""
    ends: dict[str, list[float]] = {}
    found = {}
    for stretch in sorted(stretches, key=lambda stretch: (stretch.begin, stretch.trial)):
        lanes = ends.setdefault(stretch.worker, [])
        free = (i for i, end in enumerate(lanes) if end <= stretch.begin)
        lane = next(free, len(lanes))
        lanes[lane : lane + 1] = [stretch.end]
        found[stretch] = replace(stretch, lane=lane)
    return [found[stretch] for stretch in stretches]


def _labels(workers: Sequence[str]) -> dict[str, str]:
    """`host 4711` for each; of two that are called so, in two containers, also which it is."""
    labels: dict[str, str] = {}
    for worker in workers:
        host, process = place(worker)
        label = host if process is None else f"{host} {process}"
        same = sum(other.partition(" (")[0] == label for other in labels.values())
        labels[worker] = f"{label} ({same + 1})" if same else label
    return labels
