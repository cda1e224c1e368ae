"""What has happened to a study's trials between two looks at it."""

from collections.abc import Iterator

from lrsearch.recipe.recipe import Recipe
from lrsearch.report.live.event import Event, Kind, worker_words
from lrsearch.report.live.snapshot import Snapshot
from lrsearch.report.text.format import number
from lrsearch.storage.column_types import one_line
from lrsearch.storage.records import TrialRecord
from lrsearch.trial.states import TrialState


def trial_events(before: Snapshot, now: Snapshot) -> Iterator[Event]:
    """What has happened to trials; each begins before it reaches a rung, and ends last."""
    known = {trial.id: trial for trial in (*before.running, *before.waiting)}
    ended = [t for t in now.recent if (t.ended or 0) > before.study.trials_ended]
    for trial in sorted((*ended, *now.running, *now.waiting), key=lambda trial: trial.ticket):
        was = known.get(trial.id)
        if not _is_known(trial):
            continue
        if was is None or not _is_known(was):
            yield _started(now, trial)
        elif trial.attempt > was.attempt and trial.worker and not _ends_where_it_waited(was, trial):
            yield _taken_over(now, trial, waited=was.state == TrialState.WAITING)
        yield from _rungs(before, now, trial)
        if trial.state == TrialState.WAITING and not (was and _waited(was, trial)):
            yield _waits(now, trial)
    for trial in ended:
        yield end_event(now, trial)


def _ends_where_it_waited(was: TrialRecord, trial: TrialRecord) -> bool:
    """Whether it is pruned because it does not go on from where it waited."""
    return was.state == TrialState.WAITING and trial.epochs == was.epochs


def _waited(was: TrialRecord, trial: TrialRecord) -> bool:
    """Whether it waited there before."""
    return was.state == TrialState.WAITING and trial.attempt == was.attempt


def _is_known(trial: TrialRecord) -> bool:
    """Whether it has its number and its recipe, which it gets a moment after its ticket."""
    return trial.number is not None and trial.recipe is not None


def _started(now: Snapshot, trial: TrialRecord) -> Event:
    return Event(
        at=trial.started_at,
        study=now.name,
        kind=Kind.TRIAL_STARTED,
        words=f"trial {trial.number} started: {recipe_words(trial)}",
        trial=trial.number,
        recipe=trial.recipe,
        worker=trial.worker,
    )


def recipe_words(trial: TrialRecord) -> str:
    """Its recipe in one line; a dash before it has one."""
    return one_line(Recipe.from_dict(trial.recipe).title()) if trial.recipe else "-"


def _taken_over(now: Snapshot, trial: TrialRecord, *, waited: bool) -> Event:
    by = worker_words(trial.worker or "")
    return Event(
        at=trial.ended_at or now.now,
        study=now.name,
        kind=Kind.TRIAL_GOES_ON if waited else Kind.TRIAL_TAKEN_OVER,
        words=f"trial {trial.number} goes on at {by}, attempt {trial.attempt}",
        trial=trial.number,
        worker=trial.worker,
    )


def _waits(now: Snapshot, trial: TrialRecord) -> Event:
    rung = now.rungs[trial.id]
    return Event(
        at=now.now,
        study=now.name,
        kind=Kind.TRIAL_WAITS,
        words=f"trial {trial.number} waits at rung {rung + 1}{_share(now, rung)}",
        trial=trial.number,
        rung=rung + 1,
    )


def _rungs(before: Snapshot, now: Snapshot, trial: TrialRecord) -> Iterator[Event]:
    """The rungs that it has passed: of one that waits or was pruned not the last."""
    stands = trial.state in (TrialState.PRUNED, TrialState.WAITING)
    last = now.rungs.get(trial.id, -1) - stands
    for rung in range(before.rungs.get(trial.id, -1) + 1, last + 1):
        yield Event(
            at=trial.ended_at or now.now,
            study=now.name,
            kind=Kind.RUNG_REACHED,
            words=f"trial {trial.number} passed rung {rung + 1}{_share(now, rung)}",
            trial=trial.number,
            rung=rung + 1,
        )


#: Kinds of events by how a trial ended.
ENDS = {
    TrialState.COMPLETE.value: Kind.TRIAL_COMPLETE,
    TrialState.PRUNED.value: Kind.TRIAL_PRUNED,
    TrialState.DIVERGED.value: Kind.TRIAL_DIVERGED,
    TrialState.FAILED.value: Kind.TRIAL_FAILED,
}


def end_event(now: Snapshot, trial: TrialRecord) -> Event:
    """How a trial has ended."""
    best = now.best is not None and now.best.id == trial.id
    rung = now.rungs.get(trial.id) if trial.state == TrialState.PRUNED else None
    words = f"trial {trial.number} {trial.state}"
    words += "" if rung is None else f" at rung {rung + 1}{_share(now, rung)}"
    words += "" if trial.value is None else f": {now.metric} {number(trial.value)}"
    words += ", the best so far" if best else ""
    words += f" ({one_line(trial.reason)})" if trial.reason else ""
    return Event(
        at=trial.ended_at or now.now,
        study=now.name,
        kind=ENDS[trial.state],
        words=words,
        trial=trial.number,
        state=trial.state,
        value=trial.value,
        best=best if trial.state == TrialState.COMPLETE else None,
        rung=None if rung is None else rung + 1,
        epochs=trial.epochs,
        recipe=trial.recipe,
        reason=trial.reason,
        worker=trial.worker,
    )


def _share(now: Snapshot, rung: int) -> str:
    """` of 3 (4 % of its training)`; nothing of a rung that the study no longer has."""
    rungs = () if now.spec.pruning is None else now.spec.pruning.rungs
    if rung >= len(rungs):
        return ""
    return f" of {len(rungs)} ({100 * rungs[rung]:g} % of its training)"
