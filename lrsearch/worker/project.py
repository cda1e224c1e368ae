"""One worker for all studies of a project."""

import logging
import time

from lrsearch.errors import SpecError, StudyError, TaskError
from lrsearch.storage.database import Database
from lrsearch.storage.outages import WINDOW_SECONDS, Patience
from lrsearch.storage.records import StudyRecord
from lrsearch.study.limits import QuotaError, refuse_over_quota
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.open_work import ProjectWork
from lrsearch.worker.machine import Machine
from lrsearch.worker.stop_signal import Stop
from lrsearch.worker.worker_process import work

log = logging.getLogger("lrsearch")

#: How often a worker without work looks at the studies of its project.
LOOK_SECONDS = 2.0


class Shift:
    """The work on one study, until another one goes first."""

    def __init__(self, studies: ProjectWork, row: StudyRecord) -> None:
        self.studies, self.row = studies, row
        self._looked = time.monotonic()

    def work(self, machine: Machine, stop: Stop) -> None:
        """Raises as `processes.work` does."""
        database = self.studies.database.another()
        try:
            study = OpenStudy(database, self.row)
            work(study, machine, stop=stop, leave=self._leave)
        finally:
            database.close()

    def _leave(self, idle: bool) -> bool:
        """Whether another study is to be served: a more urgent one, or any while this has none."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return False
        self._looked = time.monotonic()
        mine = self.row

        def goes_first(row: StudyRecord) -> bool:
            return row.study_id != mine.study_id and (idle or row.priority > mine.priority)

        return self.studies.next_study(goes_first) is not None


def work_on_project(
    database: Database, project: str, machine: Machine, stop: Stop, *, forever: bool
) -> bool:
    """Train what the studies of a project ask for: the highest priority first, then the oldest.

    The worker changes to a study of higher priority between two trials, and to another one when
    its own has nothing for it to do. It ends when all are finished, unless `forever`: then it waits
    for further studies, and leaves alone what it cannot train. Whether all are finished.

    Raises as `processes.work` does, and QuotaError where the project may train no more.
    """
    studies = ProjectWork(database, project)
    if not forever:
        studies.require()
    refused, said = set[int](), ""
    database.patience = Patience(seconds=WINDOW_SECONDS, give_up=lambda: stop.asked)
    with stop.on_signals():
        while not stop.asked:
            row = None
            try:
                database.look(lambda connection: refuse_over_quota(connection, project))
                row = studies.next_study(lambda row: row.study_id not in refused)
                if row is not None:
                    log.info("works on study %s", row.name)
                    Shift(studies, row).work(machine, stop)
                    continue
            except (StudyError, TaskError, SpecError) as error:
                if not forever:
                    raise
                if row is not None and not isinstance(error, QuotaError):
                    refused.add(row.study_id)
                if str(error) != said:
                    log.warning("%s", error)
                said = str(error)
            if not forever and studies.is_over():
                return True
            time.sleep(LOOK_SECONDS)
    return False
