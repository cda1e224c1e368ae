"""Whether a database can be used: its schema, how quickly it answers, whether one may write."""

import statistics
import time
from dataclasses import dataclass

from sqlalchemy import func, select, text

from lrsearch.errors import StorageError
from lrsearch.storage import schema
from lrsearch.storage.column_types import db_now
from lrsearch.storage.database import Database, explained
from lrsearch.storage.tables import studies

#: Reads whose median is the time of an answer.
READS = 9


@dataclass(frozen=True, kw_only=True)
class Health:
    """A database as it was found."""

    #: Revision of lrsearch's tables; None where there are none.
    revision: str | None
    #: None while there are no tables of this version.
    studies: int | None
    #: Seconds of one read, the median of several.
    read_seconds: float
    #: Its clock less this machine's, in seconds.
    clock_difference: float
    #: Whether trials could be written.
    writable: bool


def health(database: Database) -> Health:
    """Look at a database, whose file is there, and change nothing.

    Raises StorageError when it does not answer, or its tables are newer than this version.
    """
    with explained(database), database.read() as connection:
        revision = schema.revision(connection)
        current = schema.is_current(connection)
        before = time.time()
        theirs = connection.execute(select(db_now())).scalar_one()
        difference = theirs - (before + time.time()) / 2
        times = []
        for _ in range(READS):
            started = time.perf_counter()
            connection.execute(text("SELECT 1"))
            times.append(time.perf_counter() - started)
        count = select(func.count()).select_from(studies)
        found = connection.execute(count).scalar_one() if current else None
    return Health(
        revision=revision,
        studies=found,
        read_seconds=statistics.median(times),
        clock_difference=difference,
        writable=_is_writable(database, current=current),
    )


def _is_writable(database: Database, *, current: bool) -> bool:
    """Whether this user may write: SQLite's write lock, PostgreSQL's privileges."""
    if database.is_sqlite:
        try:
            with database.begin():  # takes the write lock, and writes nothing
                return True
        except StorageError:
            return False
    may = "has_database_privilege(current_database(), 'CREATE')"
    if current:
        may = f"has_table_privilege('{studies.name}', 'UPDATE')"
    with explained(database), database.read() as connection:
        return bool(connection.scalar(text(f"SELECT {may}")))
