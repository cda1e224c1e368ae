"""Which study of a project a worker serves next."""

from collections.abc import Callable

from sqlalchemy import Connection

from lrsearch.errors import StudyError, near_miss
from lrsearch.storage import claims, studies
from lrsearch.storage.database import Database, explained
from lrsearch.storage.records import StudyRecord
from lrsearch.study import confirmation, ladder
from lrsearch.study.limits import has_free_place
from lrsearch.study.status import is_over
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial.states import StudyState


def has_work(connection: Connection, search: StoredStudy) -> bool:
    """Whether another worker would find something to train, now."""
    if claims.any_free(connection, search.study_id):
        return True
    row = studies.by_id(connection, search.study_id)
    if row is None or row.state == StudyState.PAUSED:
        return False
    if search.may_start(connection):
        return True
    if row.state == StudyState.OPEN and ladder.is_due(connection, search):
        return True
    return bool(confirmation.next_round(connection, search, row))


class ProjectWork:
    """The studies of a project, in the order in which workers serve them.

    The highest priority is first, then the oldest.
    """

    def __init__(self, database: Database, project: str) -> None:
        self.database, self.project = database, project

    def require(self) -> None:
        """Raises StudyError, with the near miss, if no study is of the project."""
        with explained(self.database), self.database.read() as connection:
            known = sorted({row.project for row in studies.everything(connection)})
        if self.project not in known:
            hint = near_miss(self.project, known) if known else "; there are none yet"
            raise StudyError(f"no study of project {self.project!r}{hint}")

    def next_study(self, among: Callable[[StudyRecord], bool]) -> StudyRecord | None:
        """The first of those `among` which has work and a free place; None if none has."""

        def look(connection: Connection) -> StudyRecord | None:
            for row in filter(among, studies.of_project(connection, self.project)):
                search = StoredStudy(self.database, row)
                if has_work(connection, search) and has_free_place(connection, search):
                    return row
            return None

        return self.database.look(look)

    def is_over(self) -> bool:
        """Whether nothing of the project runs and nothing more will start."""

        def look(connection: Connection) -> bool:
            rows = studies.of_project(connection, self.project)
            return all(is_over(connection, StoredStudy(self.database, row)) for row in rows)

        return self.database.look(look)
