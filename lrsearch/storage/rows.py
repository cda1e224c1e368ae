"""Rows: inserted where they may be there already, and JSON of them read with care."""

import json
import math
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_or(connection: Connection, table: Table) -> "postgresql.Insert | sqlite.Insert":
    """An INSERT that may say what to do on a conflict, as this database writes it."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


#: Longest JSON text that is read, in characters; a study's definition has some ten thousand.
MOST_JSON = 4_000_000


def read_json(text: str | bytes) -> Any:
    """The value of a JSON column; words that no reader takes for one where there is none.

    Rows are written by others too: too much of it, or too deep, must not end who reads it.
    """
    if len(text) > MOST_JSON:
        return f"JSON of {len(text)} characters, which is not read"
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        return f"unreadable JSON ({type(error).__name__})"


def _finite(text: str) -> float:
    """PostgreSQL's JSON has no other numbers, so that what is read can be written again."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("it is not finite")
    return number
