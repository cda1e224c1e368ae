"""What goes on in a database: each study, how far it is, and who works on it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection

from lrsearch.plain_data import Document
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import overview, studies
from lrsearch.storage.database import Database, explained
from lrsearch.study.status import is_over
from lrsearch.study.stored_study import StoredStudy

#: A worker counts that was seen so recently: twice the default lease. Unit: seconds.
PRESENT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class StudyStatus:
    """One study of a database."""

    study: str
    #: `open`, `paused` or `finished`.
    state: str
    #: Search trials that were started, and the budget of them; None where it counts others.
    trials_used: int
    trials_total: int | None
    trials_ended: int
    #: Trials, and confirmation runs, in training now.
    running: int
    open_runs: int
    #: Workers that were seen a moment ago.
    workers: int
    #: Since its creation.
    age_seconds: float

    def to_dict(self) -> Document:
        """As `lrsearch status --json` shows it."""
        return asdict(self)


def database_status(database: Database) -> Sequence[StudyStatus]:
    """All studies of the database, the newest first."""
    with explained(database), database.read() as connection:
        present = overview.present_workers(connection, PRESENT_SECONDS)
        now = overview.now(connection)
        return [
            _status(database, connection, marks, present.get(marks.study_id, 0), now)
            for marks in overview.everything(connection)
        ]


def _status(
    database: Database,
    connection: Connection,
    marks: overview.StudyMarks,
    workers: int,
    now: float,
) -> StudyStatus:
    record = studies.by_id(connection, marks.study_id)
    assert record is not None  # of the same moment
    over = not marks.running and is_over(connection, StoredStudy(database, record))
    return StudyStatus(
        study=StudySpec.from_stored(record.definition).name,
        state="finished" if over else marks.state,
        trials_used=marks.trials_used,
        trials_total=marks.trials_total,
        trials_ended=marks.trials_ended,
        running=marks.running,
        open_runs=marks.open_runs,
        workers=workers,
        age_seconds=now - marks.created_at,
    )
