"""Query results as plain dicts."""

from typing import Any

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.dialects import postgresql, sqlite

Row = dict[str, Any]


def insert_or(connection: Connection, table: Table) -> "postgresql.Insert | sqlite.Insert":
    """An INSERT that may say what to do on a conflict, as this database writes it."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def fetch(connection: Connection, query: Executable) -> list[Row]:
    return [dict(row) for row in connection.execute(query).mappings()]


def fetch_first(connection: Connection, query: Executable) -> Row | None:
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)
