"""What is asked of engines: what a study's workers train with, and what was measured for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, select, update

from lrsearch.plain_data import Fields
from lrsearch.storage.column_types import db_now
from lrsearch.storage.engine_table import engines
from lrsearch.storage.records import EngineRecord, fetch_as, fetch_first_as
from lrsearch.storage.rows import insert_or


@dataclass(frozen=True, kw_only=True)
class MeasurementKey:
    """What the measurement of a choice holds for; see the columns of its table."""

    task: str
    setting: str
    device: str
    precision: str
    torch: str

    def matches(self) -> list[ColumnElement[bool]]:
        """That a row is of this key."""
        return [engines.c[name] == value for name, value in vars(self).items()]


def recorded(
    connection: Connection, study_id: int, key: MeasurementKey, *, fuse: str, budget: str
) -> EngineRecord | None:
    """What was chosen for this key with this `--fuse`, under this budget of the study."""
    mine = (engines.c.study_id == study_id, *key.matches(), engines.c.wanted == fuse)
    query = select(engines).where(*mine, engines.c.budget == budget)
    return fetch_first_as(connection, query, EngineRecord)


def record(
    connection: Connection,
    study_id: int,
    key: MeasurementKey,
    choice: Fields,
    *,
    fuse: str,
    budget: str,
) -> EngineRecord:
    """The choice that stands: the first for its key; `choice` if the study's budget has changed.

    `choice` is `Choice.to_row()`.
    """
    values = {**choice, "budget": budget, "chosen_at": db_now()}
    row = {"study_id": study_id, **vars(key), "wanted": fuse, **values}
    new = insert_or(connection, engines).values(**row)
    connection.execute(new.on_conflict_do_nothing())
    mine = (engines.c.study_id == study_id, *key.matches(), engines.c.wanted == fuse)
    outdated = engines.c.budget != budget
    connection.execute(update(engines).where(*mine, outdated).values(**values))
    return fetch_as(connection, select(engines).where(*mine), EngineRecord)[0]


def measured(connection: Connection, key: MeasurementKey) -> Sequence[EngineRecord]:
    """What any study of this database measured for the same key, the newest first."""
    query = select(engines).where(engines.c.fits.is_not(None), *key.matches())
    newest = query.order_by(engines.c.chosen_at.desc(), engines.c.id.desc())
    return fetch_as(connection, newest, EngineRecord)


def of_study(connection: Connection, study_id: int) -> Sequence[EngineRecord]:
    """All choices of a study, in the order in which they were made."""
    query = select(engines).where(engines.c.study_id == study_id)
    return fetch_as(connection, query.order_by(engines.c.id), EngineRecord)
