"""A look at a study that runs: what is read in one transaction, as one value."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Connection

from lrsearch.advice.cost import CostPlan, cost_plan
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import confirmations, studies, trials, watched
from lrsearch.storage.database import Database
from lrsearch.storage.records import (
    ConfirmationRecord,
    CurveRecord,
    EventRecord,
    StudyRecord,
    TrialRecord,
    WorkerRecord,
)
from lrsearch.storage.watched import RangeTestState
from lrsearch.study.status import is_over
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial import states

#: Trials that ended last which every look has: the pace is theirs.
RECENT = 30
#: Running trials whose curves are read, and the newest validations of each.
CURVES, POINTS = 16, 64
#: A worker that was not seen for so many leases is silent: dead, hung, or cut off.
SILENT_LEASES = 2
#: Workers that were not seen for so many seconds, or leases if that is longer, are left out.
PRESENT_SECONDS, PRESENT_LEASES = 600.0, 10


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A study at one moment, as far as it is of interest while it runs.

    Times are seconds since 1970 by the database's clock.
    """

    study: StudyRecord
    spec: StudySpec
    now: float
    #: How many trials are in each state; every state has a number.
    counts: Mapping[str, int]
    #: In the order of their tickets.
    running: tuple[TrialRecord, ...]
    #: Those that wait at rungs, likewise.
    waiting: tuple[TrialRecord, ...]
    #: In the order of their ends: the last `RECENT`, and all that ended since the look before.
    recent: tuple[TrialRecord, ...]
    #: The best complete trial.
    best: TrialRecord | None
    #: The newest validations of the first running trials, by the trial's id.
    curves: Mapping[int, tuple[CurveRecord, ...]]
    #: By the id of a running or recent trial, the last rung that it has reached, from 0.
    rungs: Mapping[int, int]
    tests: tuple[RangeTestState, ...]
    #: Confirmation runs.
    runs: tuple[ConfirmationRecord, ...]
    #: Those that were seen lately.
    workers: tuple[WorkerRecord, ...]
    #: Lines about faults: those since the look before, the oldest first.
    notes: tuple[EventRecord, ...]
    #: The id of the newest line about a fault.
    last_note: int
    #: Whether nothing of it runs and nothing more will start.
    is_over: bool

    @property
    def name(self) -> str:
        return self.study.name

    @property
    def elapsed(self) -> float:
        """Seconds since the first trial began; 0 before."""
        begun = self.study.first_ask_at
        return 0.0 if begun is None else max(0.0, self.now - begun)

    @property
    def metric(self) -> str:
        """What the objective measures."""
        return self.spec.objective.metric

    @cached_property
    def plan(self) -> CostPlan:
        """Epochs at most."""
        return cost_plan(self.spec, self.study.steps_per_epoch)

    @cached_property
    def present(self) -> tuple[WorkerRecord, ...]:
        """The workers that have not ended and are not silent."""
        return tuple(
            worker
            for worker in self.workers
            if worker.ended_at is None and not self.is_silent(worker)
        )

    def is_silent(self, worker: WorkerRecord) -> bool:
        """Whether a worker that has not ended was not seen for two leases."""
        return worker.ended_at is None and worker.since > SILENT_LEASES * self.spec.lease.seconds

    @property
    def open_runs(self) -> int:
        """Confirmation runs that are still to end."""
        return sum(run.state in states.OPEN for run in self.runs)

    @property
    def phase(self) -> str:
        """paused | finished | confirmation | range test | search"""
        if self.study.state == states.StudyState.PAUSED and not self.running:
            return "paused"
        if self.is_over:
            return "finished"
        if self.runs and not self.running:
            return "confirmation"
        tests = any(test.state in states.OPEN for test in self.tests)
        return "range test" if tests and not self.study.trials_used else "search"


def look(
    connection: Connection, database: Database, name: str, before: Snapshot | None
) -> Snapshot | None:
    """The study of this name as it stands; None where there is none.

    `before` is the last look: what ended after it is read, however much that is. A look takes 12
    queries while a trial runs, and about 20 where it is asked whether more is due.
    """
    record = studies.by_name(connection, name)
    if record is None:
        return None
    search = StoredStudy(database, record)
    if before is not None and before.study.study_id != record.study_id:
        before = None
    still = watched.still_to_end(connection, record.study_id)
    running = tuple(row for row in still if row.state == states.TrialState.RUNNING)
    waiting = tuple(row for row in still if row.state == states.TrialState.WAITING)
    recent = _recent(connection, record, before)
    known_note = _known_note(connection, record, before)
    notes = tuple(watched.notes_after(connection, record.study_id, known_note))
    present = max(PRESENT_SECONDS, PRESENT_LEASES * search.spec.lease.seconds)
    return Snapshot(
        study=record,
        spec=search.spec,
        now=watched.now(connection),
        counts=studies.counts(connection, record.study_id),
        running=running,
        waiting=waiting,
        recent=recent,
        best=_best(connection, search),
        curves=watched.last_points(connection, [row.id for row in running[:CURVES]], POINTS),
        rungs=watched.last_rungs(connection, [row.id for row in (*still, *recent)]),
        tests=tuple(watched.range_test_states(connection, record.study_id)),
        runs=tuple(confirmations.everything(connection, record.study_id)),
        workers=tuple(watched.present_workers(connection, record.study_id, present)),
        notes=notes,
        last_note=notes[-1].id if notes else known_note,
        is_over=not still and is_over(connection, search),
    )


def _recent(
    connection: Connection, record: StudyRecord, before: Snapshot | None
) -> tuple[TrialRecord, ...]:
    first = record.trials_ended - RECENT
    if before is not None:
        first = min(first, before.study.trials_ended)
    return tuple(watched.ended_after(connection, record.study_id, first))


def _known_note(connection: Connection, record: StudyRecord, before: Snapshot | None) -> int:
    if before is not None:
        return before.last_note
    return watched.last_note(connection, record.study_id)


def _best(connection: Connection, search: StoredStudy) -> TrialRecord | None:
    minimize = search.spec.objective.direction == "minimize"
    found = trials.ranked(connection, search.study_id, minimize=minimize, limit=1)
    return found[0] if found else None
