"""Whether a study is finished, and freeing what lost workers held."""

import logging

from sqlalchemy import Connection

from lrsearch.errors import StorageError
from lrsearch.storage import confirmations, leases, range_tests, studies, trials, worker_identity
from lrsearch.storage.moments import passes
from lrsearch.study import confirmation, ladder, lost_work
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial import states
from lrsearch.trial.states import StudyState

log = logging.getLogger("lrsearch")


def reap(search: StoredStudy) -> list[str]:
    """Free what nobody renewed in time, and at once what dead workers of this machine held."""
    lines = lost_work.reap_study(search, dead=dead_holders(search))
    for line in lines:
        log.warning("%s", line)
    return lines


def dead_holders(search: StoredStudy) -> list[str]:
    """Workers of this machine that hold something and are dead."""
    holders = search.database.look(lambda connection: leases.holders(connection, search.study_id))
    return [name for name in holders if worker_identity.is_dead(name)]


def is_finished(search: StoredStudy) -> bool:
    """Whether nothing of the study runs and nothing more will start."""
    return search.database.look(lambda connection: is_over(connection, search))


def is_known_finished(search: StoredStudy) -> bool:
    """The same; False where the database does not answer now."""
    try:
        return is_finished(search)
    except StorageError as error:
        if not passes(error):
            raise
        return False


def is_over(connection: Connection, search: StoredStudy) -> bool:
    """The same, in a transaction of the caller's."""
    study = studies.by_id(connection, search.study_id)
    if study is None:
        return True  # it was deleted
    if trials.any_running(connection, search.study_id):
        return False
    runs = confirmations.everything(connection, search.study_id)
    if any(run.state in states.OPEN for run in runs):
        return False
    if range_tests.workers(connection, search.study_id):
        return False
    if study.state == StudyState.PAUSED or search.may_start(connection):
        return False
    if ladder.is_due(connection, search) and study.state == StudyState.OPEN:
        return False
    return not confirmation.next_round(connection, search, study)
