"""Query results as plain dicts."""

from typing import Any

from sqlalchemy import Connection, Executable

Row = dict[str, Any]


def fetch(connection: Connection, query: Executable) -> list[Row]:
    return [dict(row) for row in connection.execute(query).mappings()]


def fetch_first(connection: Connection, query: Executable) -> Row | None:
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)
