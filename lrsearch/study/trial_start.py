"""A new trial and its recipe, here and in Optuna: where the database can, in one statement each."""

from sqlalchemy import Connection

from lrsearch.storage import postgresql_trials, repeats, trials
from lrsearch.storage.leases import Claim
from lrsearch.storage.records import TrialRecord
from lrsearch.study.draw import Drawn, Linked
from lrsearch.study.optuna import gate
from lrsearch.study.stored_study import StoredStudy


def start_trial(
    connection: Connection, study: StoredStudy, worker: str, *, queued: bool
) -> TrialRecord | None:
    """Claim a new trial, with Optuna's or still without; None when the budget is used.

    `queued` is whether a recipe may wait in the queue. A trial with Optuna's may be committed
    already: nothing is to follow in the transaction.
    """
    study_id, lease, keep = study.study_id, study.spec.lease.seconds, study.reserved_share
    horizon = study.next_horizon(connection)
    theirs = None if queued else gate.writer(connection).new_trials()
    if theirs is None:
        return trials.start(
            connection, study_id, worker, lease, horizon=horizon, keep=keep, queued=queued
        )
    return postgresql_trials.start(
        connection, study_id, worker, lease, theirs, horizon=horizon, keep=keep, known=study.known
    )


def link(
    connection: Connection, study: StoredStudy, claim: Claim, trial_id: int, drawn: Drawn
) -> Linked:
    """Record what a claimed trial trains, Optuna's `trial_id`.

    Nothing is written of a recipe that may not repeat another trial's and does.
    """
    study_id, mark = study.study_id, drawn.fingerprint
    if not drawn.may_repeat:
        repeats.hold(connection, study_id, mark)
    if _record(connection, claim, trial_id, drawn):
        return Linked.DONE
    if not drawn.may_repeat and repeats.has_trial(connection, study_id, mark):
        return Linked.REPEAT
    return Linked.LOST


def _record(connection: Connection, claim: Claim, trial_id: int, drawn: Drawn) -> bool:
    content = drawn.recipe.to_dict()
    writer = gate.writer(connection)
    theirs = writer.recipe_rows(trial_id, content, drawn.encoding)
    if theirs is not None:
        return postgresql_trials.link(
            connection, claim, content, drawn.fingerprint, theirs, may_repeat=drawn.may_repeat
        )
    if not trials.link(connection, claim, content, drawn.fingerprint, may_repeat=drawn.may_repeat):
        return False
    writer.add_recipe(trial_id, content, drawn.encoding)
    return True
