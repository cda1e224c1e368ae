"""A trial's end, here and in Optuna, in one transaction; so too of those that wait for nothing."""

from collections.abc import Sequence

from sqlalchemy import Connection

from lrsearch.plain_data import Fields
from lrsearch.storage import (
    checkpoints,
    claims,
    curves,
    end_counts,
    postgresql_trials,
    trials,
    waiting,
)
from lrsearch.storage.leases import Claim
from lrsearch.storage.records import TrialRecord
from lrsearch.study.assignment import Assignment, Outcome
from lrsearch.study.optuna import gate
from lrsearch.study.optuna.trial_end import optunas_end
from lrsearch.study.planned_search import PlannedSearch, those_left
from lrsearch.study.stored_study import StoredStudy
from lrsearch.study.trial_end import our_end
from lrsearch.trial.curve import Validation
from lrsearch.trial.states import TrialState


def end_trial(
    connection: Connection,
    study: StoredStudy,
    claim: Claim,
    trial_id: int,
    outcome: Outcome,
    *,
    is_last: bool = False,
) -> bool:
    """End a claimed trial, Optuna's `trial_id`; False if another worker has taken it over.

    `is_last` says that nothing follows in the transaction, which may be committed then.
    """
    ending = our_end(outcome, curves.of_trial(connection, claim.id), study.spec)
    horizon = study.horizon
    if study.spec.ladder is not None:
        horizon = study.horizon_of(recipe_of(connection, claim))
    theirs = optunas_end(outcome, ending.value, study.spec.objective)
    writer = gate.writer(connection)
    rows = writer.end_rows(trial_id, theirs)
    if rows is not None:
        return postgresql_trials.record(
            connection, claim, ending, rows, horizon=horizon, is_last=is_last
        )
    study_id = trials.set_end(connection, claim, ending)
    if study_id is None:
        return False
    writer.end_trial(trial_id, theirs)
    end_counts.count_end(connection, study_id, claim, ending, horizon=horizon)
    return True


def end_with_rows(
    connection: Connection,
    study: StoredStudy,
    assignment: Assignment,
    outcome: Outcome,
    rows: Sequence[Validation],
    taken: int | None,
) -> bool | None:
    """The same, with the last rows of its curve, for `OpenStudy.tell`.

    A value is told from a whole curve alone: with `taken`, a trial whose curve has a gap is let go
    of instead, to be trained from its start, and None is returned. The last of its transaction.
    """
    claim = assignment.claim
    if not curves.add(connection, claim, rows, taken=taken):
        return False
    if taken is not None and curves.has_gap(connection, claim):
        checkpoints.forget(connection, claim.kind, claim.id)
        claims.release(connection, claim)
        return None
    return end_trial(connection, study, claim, assignment.trial_id, outcome, is_last=True)


def recipe_of(connection: Connection, claim: Claim) -> Fields | None:
    """The recipe of a claimed trial."""
    row = claims.by_id(connection, claim.kind, claim.id)
    assert isinstance(row, TrialRecord)
    return row.recipe


def end_those_left(
    connection: Connection, study: StoredStudy, planned: PlannedSearch | None
) -> list[Claim]:
    """Prune the trials that wait, once none of them can go on any more; under which claims.

    The worker that trained a trial stays that of its row, whoever ends it.
    """
    ended = []
    for trial, trainer in those_left(connection, study.study_id, planned):
        lease = study.spec.lease.seconds
        row = waiting.go_on(connection, trial, trainer, lease, horizon=study.horizon)
        if row is not None and row.trial_id is not None:
            claim = Claim(id=row.id, attempt=row.attempt, worker=row.worker)
            end_trial(connection, study, claim, row.trial_id, where_it_waited(row))
            ended.append(claim)
    return ended


def where_it_waited(row: TrialRecord, reason: str | None = None) -> Outcome:
    """The outcome of a trial that is pruned where it waited."""
    return Outcome(
        state=TrialState.PRUNED,
        reason=reason,
        epochs=row.epochs,
        seconds=row.seconds,
        progress=0.0,
        start_loss=0.0,
    )
