"""A study that trains a ladder, taken one rung further; any of its workers does that."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from lrsearch.storage import studies, trials
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial import states
from lrsearch.trial.states import StudyState

if TYPE_CHECKING:
    from lrsearch.transfer.ended import Due


def advance(search: StoredStudy) -> bool:
    """Enqueue the runs that are due once all before have ended; whether there were any."""
    if search.spec.ladder is None:
        return False

    def plan(connection: Connection) -> bool:
        # Idle workers ask this all the time: only one that sees runs due holds the others up.
        if not is_due(connection, search):
            return False
        study = studies.lock(connection, search.study_id)
        if study.state != StudyState.OPEN:
            return False
        due = _due(connection, search)
        for each in due:
            studies.enqueue(connection, search.study_id, each.kind, each.recipe)
        return bool(due)

    return search.database.run(plan)


def is_due(connection: Connection, search: StoredStudy) -> bool:
    """Whether more runs follow those that have ended."""
    return search.spec.ladder is not None and bool(_due(connection, search))


def _due(connection: Connection, search: StoredStudy) -> "Sequence[Due]":
    """The runs that are due; none while one is still to end."""
    from lrsearch.transfer.ended import due_runs  # numpy: not for who only reads

    rows = trials.everything(connection, search.study_id)
    open_ones = any(row.state in states.OPEN for row in rows)
    if open_ones or studies.queued(connection, search.study_id):
        return []
    return due_runs(search.spec, rows)
