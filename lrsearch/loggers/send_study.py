"""A study that was trained already, sent to trackers: what a worker could not, or all of it."""

import time
from collections import Counter
from dataclasses import dataclass

from lrsearch.errors import StudyError
from lrsearch.loggers.copying import Copy, in_short
from lrsearch.loggers.installed import check_trackers, tracker
from lrsearch.spec.log import Log
from lrsearch.storage import confirmations, trials
from lrsearch.storage.confirmations import claim_of
from lrsearch.storage.database import explained
from lrsearch.storage.leases import Claim, Kind
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial.states import OPEN


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a tracker has after it was sent a study."""

    #: The tracker, as messages name it.
    where: str
    #: Ended ones, those that were there before included.
    trials: int
    confirmations: int


def send_study(study: StoredStudy, log: Log) -> list[Sent]:
    """Send all ended trials and confirmation runs to each tracker of `log`.

    What a tracker has stays as it is. The database holds no curve of a confirmation run: one that
    the tracker lacks gets its recipe and its result. Raises SpecError where a tracker cannot be
    used here, StudyError when one does not take a run.
    """
    check_trackers(log)
    return [_send(study, log, name) for name in log.trackers]


def _send(study: StoredStudy, log: Log, name: str) -> Sent:
    counts: Counter[Kind] = Counter()
    copies = _ended(study)
    try:
        chosen = tracker(log, name)()
    except Exception as error:  # of the tracker's own kinds
        raise StudyError(f"{log.where(name)}: it cannot be used ({in_short(error)})") from error
    for copy in copies:
        with explained(study.database):
            seen = copy.look(study, study.database)
        try:
            if copy.claim.kind == Kind.TRIAL or not chosen.would_lose(seen.run):
                copy.send(seen, chosen)
        except Exception as error:
            raise StudyError(
                f"{log.where(name)}: {copy.name} cannot be logged ({in_short(error)}); the same "
                f"command sends what is missing"
            ) from error
        counts[copy.claim.kind] += 1
    return Sent(
        where=log.where(name),
        trials=counts[Kind.TRIAL],
        confirmations=counts[Kind.CONFIRMATION],
    )


def _ended(study: StoredStudy) -> list[Copy]:
    with explained(study.database), study.database.read() as connection:
        begun = [row.begun() for row in trials.everything(connection, study.study_id)]
        runs = confirmations.everything(connection, study.study_id)
    copies = [
        Copy(
            Claim(id=row.id, attempt=row.attempt, worker=row.worker),
            f"trial {row.number}",
            tuple,
            row.started_at,
        )
        for row in begun
        if row is not None and row.state not in OPEN
    ]
    copies += [
        Copy(
            claim_of(run),
            f"confirmation of trial {run.number}, seed {run.seed}",
            tuple,
            time.time() - run.seconds,
        )
        for run in runs
        if run.state not in OPEN
    ]
    for copy in copies:
        copy.is_left = True
    return copies
