"""Trials that failed for their machine: what workers' trials came to, and giving them back."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, exists, insert, or_, select, update

from lrsearch.plain_data import Fields
from lrsearch.storage.column_types import db_now
from lrsearch.storage.records import TrialRecord, fetch_as
from lrsearch.storage.tables import curves, events, queue, rungs, studies, trials, workers
from lrsearch.trial.states import MACHINE, TrialState


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What a trial has come to in the hands of the worker that had it last."""

    id: int
    kind: str
    #: A `TrialState`.
    state: str
    #: None: nobody has it, or whoever had it was lost.
    worker: str | None
    reason: str | None
    #: Its place in the order of ends; None while it runs.
    ended: int | None
    #: Whether it got to a validation there.
    validated: bool

    @property
    def failed_at_once(self) -> bool:
        """Whether it failed in the hands of its worker, before a validation there."""
        failed = self.state == TrialState.FAILED and self.worker is not None
        return failed and not self.validated


def attempts(connection: Connection, study_id: int) -> Sequence[Attempt]:
    """The study's trials that have a worker, in the order of their ends; the running ones last."""
    t, c = trials.c, curves.c
    # One that waits at a rung, or was pruned there, may have no row of a curve.
    held = t.state.in_((TrialState.WAITING, TrialState.PRUNED))
    at_rung = and_(held, exists().where(rungs.c.trial == t.id))
    validated = or_(exists().where(and_(c.trial == t.id, c.attempt == t.attempt)), at_rung)
    query = (
        select(t.id, t.kind, t.state, t.worker, t.reason, t.ended, validated.label("validated"))
        .where(t.study_id == study_id)
        .order_by(t.ended.is_(None), t.ended)
    )
    return fetch_as(connection, query, Attempt)


def gone(connection: Connection, study_id: int) -> set[str]:
    """The study's workers that ended in order."""
    c = workers.c
    query = select(c.name).where(c.study_id == study_id, c.ended_at.is_not(None))
    return set(connection.execute(query).scalars())


def give_back(connection: Connection, study_id: int, ids: Collection[int]) -> int:
    """Count these failed trials no longer, and let their recipes start anew; how many they were.

    Twice is the same as once. A trial's recipe waits in the queue, with the kind that it had.
    """
    t = trials.c
    query = select(trials).where(t.study_id == study_id, t.id.in_(ids), t.kind != MACHINE)
    query = query.where(t.state == TrialState.FAILED).order_by(t.ticket).with_for_update()
    found = fetch_as(connection, query, TrialRecord)
    if not found:
        return 0
    # A move of each: who keeps where the trials stand reads them again.
    move = update(studies).where(studies.c.study_id == study_id).values(moves=studies.c.moves + 1)
    moved = connection.execute(move.returning(studies.c.moves)).scalar_one()
    for row in found:
        values: Fields = {
            "kind": MACHINE,
            "reason": f"{MACHINE}: {row.reason}",
            "fingerprint": None,
            "moved": moved,
        }
        connection.execute(update(trials).where(t.id == row.id).values(**values))
        if row.recipe:
            again = {"study_id": study_id, "kind": row.kind, "recipe": dict(row.recipe)}
            connection.execute(insert(queue).values(**again))
    count = studies.c.trials_returned + len(found)
    change = update(studies).where(studies.c.study_id == study_id)
    connection.execute(change.values(trials_returned=count, exhausted_at=None))
    for worker in sorted({row.worker or "" for row in found}):
        number = sum(row.worker == worker for row in found)
        reason = next(row.reason for row in found if row.worker == worker)
        what = f"{number} trials failed for their machine ({reason}); they start anew elsewhere"
        line = {"study_id": study_id, "at": db_now(), "worker": worker, "what": what}
        connection.execute(insert(events).values(line))
    return len(found)
