"""All studies of a database, as `lrsearch status` and the metrics show them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from lrsearch.report.text.format import amount, duration, number
from lrsearch.report.text.grid import Grid
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import overview, projects, studies
from lrsearch.storage.database import Database, explained
from lrsearch.storage.overview import StudyMarks
from lrsearch.storage.records import StudyRecord
from lrsearch.study.status import is_over
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial.states import StudyState

#: A worker that was seen within so many seconds works.
PRESENT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class StudyStatus:
    """Where a study stands."""

    name: str
    project: str
    #: Who created it; None: an older version of lrsearch did not say.
    owner: str | None
    #: search | confirmation | paused | finished | open (nobody trains it just now).
    state: str
    #: Trials that have ended, and the budget's; None where the budget counts epochs or time.
    trials: int
    trials_total: int | None
    #: Epochs trained, confirmation included, and the budget's.
    epochs: float
    epochs_total: float | None
    #: Trials that run now.
    running: int
    #: That were seen in the last minute, and the most that may train it at once.
    workers: int
    max_workers: int | None
    priority: int
    metric: str
    #: The search's best value of `metric`.
    best: float | None
    #: Since its creation.
    age_seconds: float


@dataclass(frozen=True, kw_only=True)
class ProjectStatus:
    """What a project has used."""

    name: str
    #: Of training, studies that are gone included.
    device_hours: float
    #: The most it may train; None: no limit.
    device_hours_total: float | None


@dataclass(frozen=True, kw_only=True)
class DatabaseStatus:
    """All studies, the newest first, and their projects by name."""

    studies: Sequence[StudyStatus]
    projects: Sequence[ProjectStatus]


def status_of(database: Database, *, project: str | None = None) -> DatabaseStatus:
    """The studies of one project, or of all. Raises StorageError."""
    with explained(database), database.read() as connection:
        rows = studies_in(connection, database)
        rows = [row for row in rows if project in (None, row.project)]
        limits = projects.limits(connection)
        names = sorted({row.project for row in rows} | (set(limits) if project is None else set()))
        used = [
            ProjectStatus(
                name=name,
                device_hours=projects.used_hours(connection, name),
                device_hours_total=limits.get(name),
            )
            for name in names
        ]
    return DatabaseStatus(studies=rows, projects=used)


def studies_in(connection: Connection, database: Database) -> list[StudyStatus]:
    """All studies, the newest first, as they stand in this transaction of the database."""
    present = overview.present_workers(connection, PRESENT_SECONDS)
    now, rows = overview.now(connection), []
    for marks in overview.everything(connection):
        record = studies.by_id(connection, marks.study_id)
        assert record is not None  # of the same moment
        over = not marks.running and is_over(connection, StoredStudy(database, record))
        workers = present.get(marks.study_id, 0)
        rows.append(_status(marks, record, workers, over=over, now=now))
    return rows


def _status(
    marks: StudyMarks, record: StudyRecord, workers: int, *, over: bool, now: float
) -> StudyStatus:
    objective = StudySpec.from_stored(record.definition).objective
    return StudyStatus(
        name=marks.name,
        project=record.project,
        owner=record.owner,
        state=_state(marks, is_over=over),
        trials=marks.trials_ended,
        trials_total=marks.trials_total,
        epochs=marks.epochs_used,
        epochs_total=marks.epochs_total,
        running=marks.running,
        workers=workers,
        max_workers=record.max_workers,
        priority=record.priority,
        metric=objective.metric,
        best=marks.lowest if objective.direction == "minimize" else marks.highest,
        age_seconds=max(0.0, now - marks.created_at),
    )


def _state(marks: StudyMarks, *, is_over: bool) -> str:
    """In a word: search, confirmation, paused, finished, or open: nobody trains it just now."""
    if marks.running:
        return "search"
    if marks.open_runs:
        return "confirmation"
    if marks.state == StudyState.PAUSED:
        return "paused"
    return "finished" if is_over else "open"


def of_total(used: float, total: float | None) -> str:
    """`3 of 10`, or `3` where there is no total."""
    return amount(used) if total is None else f"{amount(used)} of {amount(total)}"


def status_text(status: DatabaseStatus) -> str:
    """Two tables for a terminal."""
    columns = ("study", "state", "trials", "epochs", "best", "workers", "priority", "age", "owner")
    grid = Grid(columns=columns, rows=tuple(_cells(row) for row in status.studies))
    hours = Grid(
        columns=("project", "device-hours"),
        rows=tuple(
            (row.name, of_total(row.device_hours, row.device_hours_total))
            for row in status.projects
        ),
    )
    return f"{grid.text()}\n\n{hours.text()}"


def _cells(row: StudyStatus) -> tuple[str, ...]:
    return (
        row.name,
        row.state,
        of_total(row.trials, row.trials_total),
        of_total(row.epochs, row.epochs_total),
        "" if row.best is None else f"{row.metric} {number(row.best)}",
        of_total(row.workers, row.max_workers),
        f"{row.priority}",
        duration(row.age_seconds),
        row.owner or "",
    )
