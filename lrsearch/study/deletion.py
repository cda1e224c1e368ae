"""Deleting a study while workers train it."""

from sqlalchemy import Connection

from lrsearch.errors import StudyError
from lrsearch.storage import actions, deletion, projects, studies
from lrsearch.storage.moments import Trouble
from lrsearch.storage.outages import Patience
from lrsearch.storage.postgresql import unhurried
from lrsearch.study.stored_study import StoredStudy

#: For so long a deletion is tried again that got into a deadlock with workers.
PATIENCE = Patience(seconds=60.0, kinds=(Trouble.BUSY,))


class DeletedStudyError(StudyError):
    """The study that a worker trains was deleted."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"study {name!r} was deleted: its workers end, and what they trained is gone; "
            f"`lrsearch run FILE` creates the study anew"
        )


def delete_rows(search: StoredStudy) -> None:
    """Remove a study from Optuna's tables; our rows refer to theirs and go with them.

    Raises StorageError when the database does not answer, or is busy for a minute.
    """
    from lrsearch.study.optuna import gate  # Optuna: not for who only reads

    def delete(connection: Connection) -> None:
        deletion.hold(connection, search.study_id)
        project = search.record.project
        projects.keep_of_deleted(connection, search.study_id, project)
        actions.record(connection, project, search.name, "deleted")
        with unhurried(connection):
            gate.writer(connection).delete_study(search.study_id)

    def is_done(connection: Connection) -> bool | None:
        return None if studies.by_id(connection, search.study_id) else True

    search.database.run(delete, recall=is_done, patience=PATIENCE)


def refuse_deleted(search: StoredStudy) -> None:
    """Raises DeletedStudyError if the study is gone."""
    try:
        search.database.look(lambda connection: studies.require(connection, search.record))
    except StudyError:
        raise DeletedStudyError(search.name) from None
