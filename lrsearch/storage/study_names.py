"""Names of studies for whoever types one: quick, and silent where there is no answer at once."""

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from lrsearch.errors import StorageError
from lrsearch.storage.database import Database
from lrsearch.storage.location import locate
from lrsearch.storage.tables import studies

#: Nobody waits longer for a completion.
BUSY_SECONDS = 0.2


def names_in_file(option: str | None, beginning: str) -> list[str]:
    """The studies in the SQLite file that `option`, `--storage`, names, whose names begin so.

    None of a server, which may be far away, of a file that is not there, or is locked or foreign.
    """
    try:
        database = Database(locate(option, tell=False), busy_seconds=BUSY_SECONDS)
    except StorageError:
        return []
    try:
        if database.path is None or not database.path.is_file():
            return []
        query = select(studies.c.name).where(studies.c.name.startswith(beginning, autoescape=True))
        with database.read() as connection:
            return list(connection.scalars(query.order_by(studies.c.name)))
    except (SQLAlchemyError, StorageError):
        return []
    finally:
        database.close()
