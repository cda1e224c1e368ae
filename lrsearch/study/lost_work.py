"""What becomes of work whose worker was lost: it is free again, unless it is to blame."""

import logging
from collections.abc import Callable, Collection

from sqlalchemy import Connection

from lrsearch.plain_data import Fields
from lrsearch.storage import claims, confirmations, curves, leases, range_tests, trials, workers
from lrsearch.storage.column_types import one_line
from lrsearch.storage.ends import End
from lrsearch.storage.leases import Claim, Freed
from lrsearch.storage.postgresql import ANSWER_SECONDS
from lrsearch.storage.records import ConfirmationRecord, Held, RangeTestRecord, TrialRecord
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial.states import TrialState

log = logging.getLogger("lrsearch")

#: A trial that is lost so often without a new checkpoint in between is to blame itself. Preempted
#: machines and killed processes lose it once or twice by chance; a third time in a row, on a fleet
#: that loses a worker in a hundred trials, is one in a million.
MOST_DEATHS = 3
#: From so many on it is trained alone: of the trials that a worker trained together, all are lost
#: with it, and one is to blame.
ALONE_FROM = MOST_DEATHS - 1
#: Epochs that a trial of a recipe has reserved.
HorizonOf = Callable[[Fields | None], float]
REASON = "its worker died three times in it without a new checkpoint"


def reap_study(
    study: StoredStudy, dead: Collection[str] = (), *, answer_seconds: float = ANSWER_SECONDS
) -> list[str]:
    """Free what workers have lost, and end what is to blame for it; a line for each.

    Lost is what was not renewed in time, and what workers that are known to be `dead` held.
    """
    return study.database.run(
        lambda connection: reap(
            connection,
            study.study_id,
            study.spec.lease.seconds,
            horizon=study.horizon_of,
            dead=dead,
        ),
        answer_seconds=answer_seconds,
    )


def reap(
    connection: Connection,
    study_id: int,
    lease: float,
    *,
    horizon: HorizonOf,
    dead: Collection[str],
) -> list[str]:
    """Free what was not renewed in time or was held by the `dead`, and end what is to blame.

    `lease` is in seconds. A line for each, which is noted with the study too.
    """
    lines = []
    leases.shorten(connection, study_id, lease)
    for item in leases.reap(connection, study_id, lease, dead=dead):
        lines.append(_settle(connection, item, horizon))
        workers.note(connection, study_id, item.worker, lines[-1])
    return lines


def lose(connection: Connection, claim: Claim, how: str, *, horizon: HorizonOf) -> str:
    """Free what a worker's process was killed in, or end what is to blame for it; a line."""
    row = claims.by_id(connection, claim.kind, claim.id)
    deaths = claims.lose(connection, claim)
    if deaths is None:
        return f"{_name(row)} was taken over by another worker"
    if deaths < MOST_DEATHS:
        return f"{_name(row)} is free again: {how}"
    _fail(connection, claims.by_id(connection, claim.kind, claim.id), horizon)
    return f"{_name(row)} failed: {REASON}"


def _settle(connection: Connection, freed: Freed, horizon: HorizonOf) -> str:
    row = claims.by_id(connection, freed.kind, freed.id)
    if freed.deaths < MOST_DEATHS:
        return f"{_name(row)} is free again: worker {freed.worker} was lost"
    _fail(connection, row, horizon)
    return f"{_name(row)} failed: {REASON}"


def _fail(connection: Connection, row: Held, horizon: HorizonOf) -> None:
    if isinstance(row, TrialRecord):
        fail_trial(connection, row, horizon, REASON)
        return
    end = End(state=TrialState.FAILED, reason=REASON, epochs=row.epochs, seconds=row.seconds)
    if isinstance(row, RangeTestRecord):
        range_tests.record(connection, row, end)
    else:
        confirmations.record(connection, row, end)


def _name(row: Held) -> str:
    if isinstance(row, RangeTestRecord):
        return f"range test of {row.optimizer}"
    if isinstance(row, ConfirmationRecord):
        return f"confirmation of trial {row.number} with seed {row.seed}"
    return f"trial {row.number}"


def refuse(study: StoredStudy, row: TrialRecord, reason: str) -> None:
    """End a claimed trial whose row gives nothing that could be trained."""
    log.warning("trial %d failed: %s", row.number, one_line(reason))
    study.database.run(lambda connection: fail_trial(connection, row, study.horizon_of, reason))


def fail_trial(connection: Connection, row: TrialRecord, horizon: HorizonOf, reason: str) -> None:
    """End it in both halves; it has used the epochs that its curve shows."""
    seen = curves.of_trial(connection, row.id)
    end = End(
        state=TrialState.FAILED,
        reason=reason,
        epochs=seen[-1].epoch if seen else 0.0,
        seconds=seen[-1].seconds if seen else 0.0,
    )
    claim = Claim(id=row.id, attempt=row.attempt, worker=row.worker)
    ended = trials.record(connection, claim, end, horizon=horizon(row.recipe))
    if ended and row.trial_id is not None:
        from lrsearch.study.optuna import gate, writer  # Optuna: not for who only reads

        gate.writer(connection).end_trial(row.trial_id, writer.FAILED)
