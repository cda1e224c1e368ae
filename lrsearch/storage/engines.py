"""What is asked of engines: what a study's workers train with, and what was measured for it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from lrsearch.storage.column_types import db_now
from lrsearch.storage.rows import Row, fetch, fetch_first, insert_or
from lrsearch.storage.tables import engines

#: What the measurement of a choice holds for.
KEY = ("task", "setting", "device", "precision", "torch")


def _same(key: Mapping[str, Any], names: tuple[str, ...]) -> list[ColumnElement[bool]]:
    return [engines.c[name] == key[name] for name in names]


def recorded(
    connection: Connection, study_id: int, key: Mapping[str, Any], budget: str
) -> Row | None:
    """What was chosen for this key (KEY and `wanted`) under this budget of the study."""
    mine = (engines.c.study_id == study_id, *_same(key, (*KEY, "wanted")))
    return fetch_first(connection, select(engines).where(*mine, engines.c.budget == budget))


def record(
    connection: Connection, study_id: int, key: Mapping[str, Any], values: Mapping[str, Any]
) -> Row:
    """The choice that stands: the first for its key; `values` if the study's budget has changed.

    `values` are all other columns.
    """
    row = {"study_id": study_id, **key, **values, "chosen_at": db_now()}
    new = insert_or(connection, engines).values(**row)
    connection.execute(new.on_conflict_do_nothing())
    mine = (engines.c.study_id == study_id, *_same(key, (*KEY, "wanted")))
    outdated = engines.c.budget != values["budget"]
    connection.execute(update(engines).where(*mine, outdated).values(**values, chosen_at=db_now()))
    return fetch(connection, select(engines).where(*mine))[0]


def measured(connection: Connection, key: Mapping[str, Any]) -> list[Row]:
    """What any study of this database measured for the same KEY, the newest first."""
    query = select(engines).where(engines.c.fits.is_not(None), *_same(key, KEY))
    return fetch(connection, query.order_by(engines.c.chosen_at.desc(), engines.c.id.desc()))


def of_study(connection: Connection, study_id: int) -> list[Row]:
    """All choices of a study, in the order in which they were made."""
    query = select(engines).where(engines.c.study_id == study_id)
    return fetch(connection, query.order_by(engines.c.id))
