"""One trial: what is known of it, its end before its time, and the same once more."""

from collections.abc import Sequence

from sqlalchemy import Connection

from lrsearch.errors import StudyError
from lrsearch.recipe.recipe import Recipe
from lrsearch.storage import claims, curves, leases, trials, waiting, worker_identity
from lrsearch.storage.leases import Claim, Kind
from lrsearch.storage.records import BegunTrial, TrialRecord
from lrsearch.study.assignment import Outcome
from lrsearch.study.enqueue import enqueue
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial.curve import Validation
from lrsearch.trial.states import OPEN, TrialState

STOPPED = "stopped by lrsearch trial stop"


def trial_row(search: StoredStudy, number: int) -> TrialRecord:
    with search.database.read() as connection:
        row = trials.by_number(connection, search.study_id, number)
    if row is None:
        raise StudyError(
            f"study {search.name!r} has no trial {number}; `lrsearch study trials {search.name}` "
            f"lists them"
        )
    return row


def stop(search: StoredStudy, number: int) -> str:
    """End a trial that runs or waits as pruned; what will happen, or has.

    Its worker hears of it when it renews the lease; a trial that nobody holds ends now. Raises
    StudyError if it has ended.
    """
    row = trial_row(search, number)
    if row.state not in OPEN:
        raise StudyError(f"trial {number} of {search.name!r} has ended already: {row.state}")
    again = f"another worker begins trial {number} of {search.name!r} just now; try again"
    lease = search.spec.lease.seconds
    with search.database.begin() as connection:
        if leases.ask_to_stop(connection, Kind.TRIAL, row.id):
            return (
                f"trial {number} is asked to stop; its worker ends it within {lease / 3:g} s, or "
                f"whoever takes it over from a dead one"
            )
        begun = row.begun()
        if begun is None:
            raise StudyError(again)
        claim = _claim(connection, search, row)
        curve = curves.of_trial(connection, row.id)
    if claim is None or not _end(search, begun, claim, curve):
        raise StudyError(again)
    return f"trial {number} is stopped"


def _claim(connection: Connection, search: StoredStudy, row: TrialRecord) -> Claim | None:
    """Claim a trial that no worker holds; None if one does by now."""
    me, lease = worker_identity.identity(), search.spec.lease.seconds
    if row.state != TrialState.WAITING:
        return leases.take_free(connection, Kind.TRIAL, row.id, me, lease)
    found = waiting.go_on(connection, row.id, me, lease, horizon=search.horizon)
    return None if found is None else Claim(id=found.id, attempt=found.attempt, worker=me)


def _end(search: StoredStudy, trial: BegunTrial, claim: Claim, curve: Sequence[Validation]) -> bool:
    """End a trial that was claimed for this alone; False if the claim is lost."""
    from lrsearch.study.end_trial import end_trial  # Optuna: not for who only reads

    outcome = Outcome(
        state=TrialState.PRUNED,
        reason=STOPPED,
        epochs=curve[-1].epoch if curve else 0.0,
        seconds=curve[-1].seconds if curve else 0.0,
        progress=0.0,
        start_loss=0.0,
    )
    return search.database.run(
        lambda connection: end_trial(connection, search, claim, trial.trial_id, outcome),
        recall=lambda connection: claims.has_ended(connection, claim) or None,
    )


def rerun(search: StoredStudy, number: int) -> Recipe:
    """Enqueue a trial's recipe as a new trial. Raises StudyError if it has none yet."""
    row = trial_row(search, number)
    if row.recipe is None:
        raise StudyError(f"trial {number} of {search.name!r} has no recipe yet; try again")
    return enqueue(search, row.recipe, where=f"trial {number}")
