"""On PostgreSQL: a trial's arrival at a rung, looked at, written and counted by one statement.

`rungs.visit`, `curves.append` and `rungs.mark` come to the same in several.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Float,
    Select,
    bindparam,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.dialects import postgresql

from lrsearch.storage import curves, leases, rung_counts, rungs
from lrsearch.storage.curves import LostRowsError
from lrsearch.storage.leases import Claim
from lrsearch.storage.postgresql_trials import Beside, Parts
from lrsearch.storage.rung_counts import Count
from lrsearch.storage.rungs import Visit
from lrsearch.storage.tables import rungs as marks
from lrsearch.trial.curve import Validation


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """A held trial that has come to a rung, and what the rung has then; None without a mark."""

    visit: Visit
    count: Count | None


def arrive(
    connection: Connection,
    claim: Claim,
    rung: int,
    signal: float,
    rows: Sequence[Validation],
    *,
    taken: int | None,
    theirs: Beside | None,
) -> Arrived | None:
    """Let a trial leave its signal at a rung, and rows of its curve; None if its claim is lost.

    The trial is locked, then the rung's count, until the transaction ends. `taken` is as in
    `curves.add`, and LostRowsError is raised as there.
    """
    values = {
        **leases.named(claim),
        "of_trial": claim.id,
        "at_rung": rung,
        "signal": signal,
        "new": rung_counts.finite(signal),
        **(curves.as_json(claim, rows) if rows else {}),
        **(theirs.values if theirs is not None else {}),
    }
    if taken is not None:
        values["first"] = rows[0].validation if rows else None
    parts = None if theirs is None else theirs.parts
    query = _arrived(parts, has_rows=bool(rows), counts_rows=taken is not None)
    found = connection.execute(query, values).mappings().first()
    if found is None:
        return None
    visit = rungs.visit_of(found, rung)
    if taken is not None and found["rows_before"] < taken - len(rows):
        raise LostRowsError
    return Arrived(visit=visit, count=_count(connection, visit, signal, found))


def _count(connection: Connection, visit: Visit, signal: float, found: Any) -> Count | None:
    if not visit.leaves_mark:
        return None
    if found["marks"] is not None:
        return Count(**{name: found[name] for name in _COUNT})
    return rung_counts.count_first(connection, visit.change(signal))


_COUNT = tuple(Count.__dataclass_fields__)


@lru_cache(maxsize=16)
def _arrived(parts: Parts | None, *, has_rows: bool, counts_rows: bool) -> Select[Any]:
    query = rungs.visit_query()
    if counts_rows:
        query = query.add_columns(curves.rows_before().label("rows_before"))
    held = query.cte("held")
    leaves = or_(held.c.audited_at.is_(None), held.c.audited_at >= rung_counts.RUNG)
    counted = _counted(held, leaves).cte("counted")
    written: list[CTE] = [_mark(held, leaves).cte("mark")]
    if has_rows:
        written.append(curves.from_json_where(exists().select_from(held)).cte("new_rows"))
    if parts is not None:
        written += parts(held)
    both = held.outerjoin(counted, true())
    counts = [counted.c[name] for name in _COUNT]
    return select(*held.c, *counts).select_from(both).add_cte(*written)


def _mark(held: CTE, leaves: ColumnElement[bool]) -> postgresql.Insert:
    signal = bindparam("signal", type_=Float)
    row = select(held.c.trial, rung_counts.RUNG, held.c.study_id, signal).where(leaves)
    new = postgresql.insert(marks).from_select(["trial", "rung", "study_id", "value"], row)
    return new.on_conflict_do_update(
        index_elements=["trial", "rung"], set_={"value": new.excluded.value}
    )


def _counted(held: CTE, leaves: ColumnElement[bool]) -> Any:
    infinite = literal(float("inf"), Float)
    old = func.nullif(held.c.before, infinite)
    new = cast(bindparam("new", type_=Float), Float)  # NULL alone says nothing of its type
    return rung_counts.counted(held.c.study_id, new, old).where(leaves)
