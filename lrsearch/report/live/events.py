"""What has happened in a study between two looks at it, as a list of events."""

from collections.abc import Iterator
from typing import Protocol

from lrsearch.report.live.event import Event, Kind, worker_words
from lrsearch.report.live.snapshot import Snapshot
from lrsearch.report.live.trial_events import end_event, trial_events
from lrsearch.report.text.format import counted, number
from lrsearch.storage.column_types import one_line
from lrsearch.storage.records import ConfirmationRecord, WorkerRecord
from lrsearch.trial import states
from lrsearch.trial.states import StudyState, TrialState


def first(now: Snapshot) -> Event:
    """How a study stands when one begins to watch it."""
    ended = sum(now.counts.values()) - len(now.running) - len(now.waiting)
    parts = [f"study {now.name}: {now.phase}", f"{counted(ended, 'trial')} ended"]
    parts += [f"{now.counts[TrialState.RUNNING]} running"] if now.running else []
    parts += [f"{len(now.waiting)} waiting"] if now.waiting else []
    if now.best is not None:
        parts.append(f"best {now.metric} {number(now.best.value)} (trial {now.best.number})")
    words = f"{', '.join(parts)}; {counted(len(now.present), 'worker')}"
    if not now.present and now.phase not in ("finished", "paused"):
        words += f"; start one: lrsearch worker {now.name}"
    return Event(at=now.now, study=now.name, kind=Kind.WATCHED, words=words)


def between(before: Snapshot, now: Snapshot) -> list[Event]:
    """What has happened between two looks, by time; what has none of its own stands last.

    A look of another study under the same name (it was extended) tells that alone.
    """
    if before.study.study_id != now.study.study_id:
        words = f"study {now.name} was extended; the one before is kept under another name"
        return [Event(at=now.now, study=now.name, kind=Kind.STUDY_EXTENDED, words=words)]
    found = [
        *_workers(before, now),
        *_notes(now),
        *_range_tests(before, now),
        *trial_events(before, now),
        *_confirmation(before, now),
        *_study(before, now),
    ]
    return sorted(found, key=lambda event: event.at)


def ends(now: Snapshot) -> list[Event]:
    """How the trials that ended last have ended, the oldest first."""
    return [end_event(now, trial) for trial in now.recent]


def deleted(before: Snapshot) -> Event:
    """A study that was there at the last look is not any more."""
    words = f"study {before.name} was deleted"
    return Event(at=before.now, study=before.name, kind=Kind.STUDY_DELETED, words=words)


class Worked(Protocol):
    """A row that workers hold."""

    @property
    def id(self) -> int: ...
    @property
    def state(self) -> str: ...


def _has_ended(was: Worked | None, row: Worked) -> bool:
    """Whether a row has ended since it was as `was`, None: it was not there."""
    return row.state not in states.OPEN and (was is None or was.state in states.OPEN)


def _workers(before: Snapshot, now: Snapshot) -> Iterator[Event]:
    known = {worker.id: worker for worker in before.workers}
    for worker in now.workers:
        was = known.get(worker.id)
        change = _change(before, now, was, worker)
        if change is not None:
            kind, how = change
            words = f"worker {worker_words(worker.name)} {how}"
            at = worker.started_at if kind == Kind.WORKER_JOINED else worker.ended_at or now.now
            yield Event(at=at, study=now.name, kind=kind, words=words, worker=worker.name)


def _change(
    before: Snapshot, now: Snapshot, was: WorkerRecord | None, worker: WorkerRecord
) -> tuple[Kind, str] | None:
    """What has become of a worker, and in words; None: nothing new."""
    there = was is not None and was.ended_at is None
    if worker.ended_at is not None:
        return (Kind.WORKER_LEFT, "left") if there else None
    if was is None or not there:
        return Kind.WORKER_JOINED, f"({worker.device}) joined"
    if now.is_silent(worker) and not before.is_silent(was):
        return Kind.WORKER_LOST, f"was not seen for {worker.since:.0f} s"
    if before.is_silent(was) and not now.is_silent(worker):
        return Kind.WORKER_BACK, "is back"
    return None


def _notes(now: Snapshot) -> Iterator[Event]:
    for note in now.notes:
        yield Event(
            at=note.at,
            study=now.name,
            kind=Kind.FAULT,
            words=one_line(note.what),
            worker=note.worker,
        )


def _range_tests(before: Snapshot, now: Snapshot) -> Iterator[Event]:
    known = {test.id: test for test in before.tests}
    for test in now.tests:
        was = known.get(test.id)
        name = one_line(test.optimizer)
        if _has_ended(was, test):
            kind, words = Kind.RANGE_TEST_ENDED, f"range test of {name} {test.state}"
            words += f" ({one_line(test.reason)})" if test.reason else ""
        elif test.state == TrialState.RUNNING and (was is None or was.state != test.state):
            kind, words = Kind.RANGE_TEST_STARTED, f"range test of {name} started"
        else:
            continue
        yield Event(
            at=now.now,
            study=now.name,
            kind=kind,
            words=words,
            optimizer=test.optimizer,
            state=None if kind == Kind.RANGE_TEST_STARTED else test.state,
            reason=test.reason,
            worker=test.worker,
        )


def _confirmation(before: Snapshot, now: Snapshot) -> Iterator[Event]:
    known = {run.id: run for run in before.runs}
    planned = [run for run in now.runs if run.id not in known]
    for name in dict.fromkeys(run.round for run in planned):
        runs = [run for run in planned if run.round == name]
        trials = ", ".join(map(str, dict.fromkeys(run.number for run in runs)))
        words = f"confirmation: {counted(len(runs), 'run')} to {name}, of trials {trials}"
        yield Event(
            at=now.now,
            study=now.name,
            kind=Kind.CONFIRMATION_PLANNED,
            words=words,
            round=name,
            runs=len(runs),
        )
    for run in now.runs:
        if _has_ended(known.get(run.id), run):
            yield _run_end(now, run)


def _run_end(now: Snapshot, run: ConfirmationRecord) -> Event:
    words = f"confirmation run of trial {run.number} with seed {run.seed} {run.state}"
    words += f": {now.metric} {number(run.value)}" if run.value is not None else ""
    words += f" ({one_line(run.reason)})" if run.reason else ""
    return Event(
        at=now.now,
        study=now.name,
        kind=Kind.CONFIRMATION_RUN_ENDED,
        words=words,
        trial=run.number,
        state=run.state,
        value=run.value,
        epochs=run.epochs,
        reason=run.reason,
        round=run.round,
        seed=run.seed,
        worker=run.worker,
    )


def _study(before: Snapshot, now: Snapshot) -> Iterator[Event]:
    was, state = before.study.state, now.study.state
    if state == StudyState.PAUSED and was != state:
        words = f"study {now.name} is paused; lrsearch study resume {now.name} lets it go on"
        yield Event(at=now.now, study=now.name, kind=Kind.STUDY_PAUSED, words=words)
    if was == StudyState.PAUSED and was != state:
        words = f"study {now.name} goes on"
        yield Event(at=now.now, study=now.name, kind=Kind.STUDY_RESUMED, words=words)
    if now.is_over and not before.is_over:
        yield finished(now)


def finished(now: Snapshot) -> Event:
    """Nothing of the study runs, and nothing more will start."""
    words = f"study {now.name} is finished"
    if now.best is not None:
        words += f"; its answer: lrsearch study show {now.name}"
    return Event(at=now.now, study=now.name, kind=Kind.STUDY_FINISHED, words=words)
