"""What is asked of engines: what a study's workers train with, and what was measured for it."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from lrsearch.storage.column_types import db_now
from lrsearch.storage.records import EngineRecord, fetch_as, fetch_first_as
from lrsearch.storage.rows import insert_or
from lrsearch.storage.tables import engines

#: What the measurement of a choice holds for.
KEY = ("task", "setting", "device", "precision", "torch")


def _same(key: Mapping[str, Any], names: tuple[str, ...]) -> list[ColumnElement[bool]]:
    return [engines.c[name] == key[name] for name in names]


def recorded(
    connection: Connection, study_id: int, key: Mapping[str, Any], budget: str
) -> EngineRecord | None:
    """What was chosen for this key (KEY and `wanted`) under this budget of the study."""
    mine = (engines.c.study_id == study_id, *_same(key, (*KEY, "wanted")))
    query = select(engines).where(*mine, engines.c.budget == budget)
    return fetch_first_as(connection, query, EngineRecord)


def record(
    connection: Connection, study_id: int, key: Mapping[str, Any], values: Mapping[str, Any]
) -> EngineRecord:
    """The choice that stands: the first for its key; `values` if the study's budget has changed.

    `values` are all other columns.
    """
    row = {"study_id": study_id, **key, **values, "chosen_at": db_now()}
    new = insert_or(connection, engines).values(**row)
    connection.execute(new.on_conflict_do_nothing())
    mine = (engines.c.study_id == study_id, *_same(key, (*KEY, "wanted")))
    outdated = engines.c.budget != values["budget"]
    connection.execute(update(engines).where(*mine, outdated).values(**values, chosen_at=db_now()))
    return fetch_as(connection, select(engines).where(*mine), EngineRecord)[0]


def measured(connection: Connection, key: Mapping[str, Any]) -> Sequence[EngineRecord]:
    """What any study of this database measured for the same KEY, the newest first."""
    query = select(engines).where(engines.c.fits.is_not(None), *_same(key, KEY))
    newest = query.order_by(engines.c.chosen_at.desc(), engines.c.id.desc())
    return fetch_as(connection, newest, EngineRecord)


def of_study(connection: Connection, study_id: int) -> Sequence[EngineRecord]:
    """All choices of a study, in the order in which they were made."""
    query = select(engines).where(engines.c.study_id == study_id)
    return fetch_as(connection, query.order_by(engines.c.id), EngineRecord)
