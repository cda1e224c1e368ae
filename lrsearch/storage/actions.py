"""Who created, changed or deleted which study, and when."""

import getpass
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from lrsearch.storage.column_types import db_now
from lrsearch.storage.records import fetch_as
from lrsearch.storage.team_tables import actions

#: The name of who gives a command, where the machine's user is not it.
USER = "LRSEARCH_USER"


@dataclass(frozen=True, kw_only=True)
class Action:
    """One change."""

    id: int
    #: Seconds since 1970 by the database's clock.
    at: float
    project: str
    #: The study's name then; None: the project itself.
    study: str | None
    who: str
    #: The machine where the command was given.
    host: str
    #: In words: "created", "deleted".
    what: str


def user() -> str:
    """Who gives this command: LRSEARCH_USER, else the user of this machine.

    Nobody proves it: whoever may write to the database may write another name.
    """
    try:
        return os.environ.get(USER) or getpass.getuser()
    except (KeyError, OSError):  # a container's user that has no name
        return f"uid {os.getuid()}"


def record(connection: Connection, project: str, study: str | None, what: str) -> None:
    """Keep that this user has just done so, in the transaction that does it."""
    row = {
        "at": db_now(),
        "project": project,
        "study": study,
        "who": user(),
        "host": platform.node(),
        "what": what,
    }
    connection.execute(insert(actions).values(row))


def newest(connection: Connection, *, project: str | None = None, limit: int) -> Sequence[Action]:
    """The newest actions, newest first, of a project or of all."""
    query = select(actions).order_by(actions.c.id.desc()).limit(limit)
    if project is not None:
        query = query.where(actions.c.project == project)
    return fetch_as(connection, query, Action)
