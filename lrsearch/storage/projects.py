"""What holds for all studies of a project: how many device-hours they may train."""

from dataclasses import dataclass

from sqlalchemy import Connection, Table, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from lrsearch.storage.records import fetch_first_as
from lrsearch.storage.tables import confirmations, range_tests, studies, trials
from lrsearch.storage.team_tables import projects
from lrsearch.study_name import DEFAULT_PROJECT

#: What trains.
TRAINED = (trials, confirmations, range_tests)
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class LimitsOfStudy:
    """What limits the workers of a study; None: nothing."""

    project: str
    max_workers: int | None
    device_hours: float | None


def limits_of(connection: Connection, study_id: int) -> LimitsOfStudy:
    """The limits of a study and of its project, in one statement."""
    both = studies.outerjoin(projects, projects.c.name == studies.c.project)
    columns = (studies.c.project, studies.c.max_workers, projects.c.device_hours)
    query = select(*columns).select_from(both).where(studies.c.study_id == study_id)
    found = fetch_first_as(connection, query, LimitsOfStudy)
    return found or LimitsOfStudy(project=DEFAULT_PROJECT, max_workers=None, device_hours=None)


def set_device_hours(connection: Connection, project: str, hours: float | None) -> None:
    """Limit the training of a project's studies; None: no limit."""
    _ensure(connection, project)
    mine = update(projects).where(projects.c.name == project)
    connection.execute(mine.values(device_hours=hours))


def limits(connection: Connection) -> dict[str, float]:
    """The limits of all projects that have one."""
    query = select(projects.c.name, projects.c.device_hours)
    rows = connection.execute(query.where(projects.c.device_hours.is_not(None)))
    return {row[0]: row[1] for row in rows}


def used_hours(connection: Connection, project: str) -> float:
    """Hours that devices have trained for the project, studies that are gone included.

    One hour on two devices is two. What trains now counts once it has ended.
    """
    gone = select(projects.c.deleted_seconds).where(projects.c.name == project)
    seconds = connection.execute(gone).scalar() or 0.0
    for table in TRAINED:
        theirs = table.join(studies, studies.c.study_id == table.c.study_id)
        query = select(func.sum(table.c.seconds)).select_from(theirs)
        seconds += connection.execute(query.where(studies.c.project == project)).scalar() or 0.0
    return float(seconds) / SECONDS_PER_HOUR


def keep_of_deleted(connection: Connection, study_id: int, project: str) -> None:
    """Add what a study has trained, which is about to be deleted, to its project's account."""
    add(connection, project, _trained(connection, study_id))


def confirmation_seconds(connection: Connection, study_id: int) -> float:
    """What a study's confirmation runs have trained."""
    return _seconds(connection, confirmations, study_id)


def add(connection: Connection, project: str, seconds: float) -> None:
    """Add what was trained, whose rows are gone or about to be, to a project's account."""
    _ensure(connection, project)
    mine = update(projects).where(projects.c.name == project)
    connection.execute(mine.values(deleted_seconds=projects.c.deleted_seconds + seconds))


def leave_out_copied(connection: Connection, study_id: int, project: str) -> None:
    """Take off what a new study has trained so far: copies of what counts for another study."""
    add(connection, project, -_trained(connection, study_id))


def _trained(connection: Connection, study_id: int) -> float:
    """Seconds in the rows of a study."""
    return sum(_seconds(connection, table, study_id) for table in TRAINED)


def _seconds(connection: Connection, table: Table, study_id: int) -> float:
    query = select(func.sum(table.c.seconds)).where(table.c.study_id == study_id)
    return float(connection.execute(query).scalar() or 0.0)


def _ensure(connection: Connection, project: str) -> None:
    dialect = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name]
    new = dialect.insert(projects).values(name=project, deleted_seconds=0.0)
    connection.execute(new.on_conflict_do_nothing())
