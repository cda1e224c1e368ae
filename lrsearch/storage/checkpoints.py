"""Checkpoints: which files of a study are worth something, and what they must hold.

Of every item the newest two are kept: its rows, `slot` 0 and 1, take turns. Beside them one may
have a branch point, where runs of other studies begin: `slot` 2. A row whose file was removed
stays, with 0 bytes: a worker may not delete rows.
"""

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection, Select, Table, and_, func, insert, or_, select, update

from lrsearch.storage.column_types import db_now
from lrsearch.storage.curves import require_recipe
from lrsearch.storage.leases import TABLES, Claim, Kind, held
from lrsearch.storage.records import CheckpointRecord, fetch_as
from lrsearch.storage.tables import checkpoints
from lrsearch.trial.states import OPEN, TrialState

SLOTS = (0, 1)
BRANCH_SLOT = 2


class File(Protocol):
    """What was written."""

    @property
    def file(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    @property
    def bytes(self) -> int: ...


def record(connection: Connection, claim: Claim, saved: File, *, branches: bool = False) -> bool:
    """Make a file the newest checkpoint of what is claimed, in place of the second newest.

    Or its branch point, in place of none: a trial that begins anew comes to the same step.

    False, and nothing written, if the claim is lost. The same file is recorded once, however often
    this is asked. Its count of lost workers begins anew: training has got further than where they
    were lost. Raises LostRowsError if it is a trial without a recipe.
    """
    study_id = _reset_deaths(connection, claim)
    if study_id is None:
        return False
    c = checkpoints.c
    values = {
        "attempt": claim.attempt,
        "step": saved.step,
        "file": saved.file,
        "sha256": saved.sha256,
        "bytes": saved.bytes,
        "saved_at": db_now(),
    }
    rows = _rows(connection, claim.kind, claim.id)
    slot = BRANCH_SLOT if branches else _slot(rows, saved.file)
    mine = and_(c.kind == claim.kind, c.item == claim.id, c.slot == slot)
    if not connection.execute(update(checkpoints).where(mine).values(**values)).rowcount:
        key = {"kind": claim.kind, "item": claim.id, "slot": slot, "study_id": study_id}
        connection.execute(insert(checkpoints).values(**key, **values))
    return True


def _reset_deaths(connection: Connection, claim: Claim) -> int | None:
    """Count its lost workers anew; its study's id. None if the claim is lost. The row is locked."""
    table: Table = TABLES[claim.kind]
    columns = [table.c.study_id, *([table.c.fingerprint] if claim.kind == Kind.TRIAL else [])]
    query = update(table).where(held(claim)).values(deaths=0).returning(*columns)
    found = connection.execute(query).first()
    if found is None:
        return None
    if claim.kind == Kind.TRIAL:
        require_recipe(found.fingerprint)
    return int(found.study_id)


def _slot(rows: Sequence[CheckpointRecord], file: str) -> int:
    """Where a file is recorded already, else a free slot, else that of the oldest."""
    rows = [row for row in rows if row.slot in SLOTS]
    known = {row.file: row.slot for row in rows if row.bytes}
    if file in known:
        return int(known[file])
    free = set(SLOTS) - set(known.values())
    return min(free) if free else int(rows[-1].slot)


def _rows(connection: Connection, kind: str, item: int) -> Sequence[CheckpointRecord]:
    """Newest first, removed ones too. Steps rise within an attempt; one may start anew."""
    c = checkpoints.c
    query = (
        select(checkpoints)
        .where(c.kind == kind, c.item == item)
        .order_by(c.attempt.desc(), c.step.desc())
    )
    return fetch_as(connection, query, CheckpointRecord)


def newest_first(connection: Connection, kind: str, item: int) -> Sequence[CheckpointRecord]:
    """The checkpoints of an item, at most two."""
    rows = _rows(connection, kind, item)
    return [row for row in rows if row.bytes and row.slot in SLOTS]


def branch_point(connection: Connection, study_id: int) -> CheckpointRecord | None:
    """Where a study's trial left a checkpoint for other runs; None if it has not."""
    c = checkpoints.c
    query = select(checkpoints).where(
        c.study_id == study_id, c.kind == Kind.TRIAL, c.slot == BRANCH_SLOT, c.bytes > 0
    )
    return next(iter(fetch_as(connection, query, CheckpointRecord)), None)


def branch_point_of(connection: Connection, trial: int) -> CheckpointRecord | None:
    """What a trial has left for other runs; None if it has not, or it is gone."""
    found = [row for row in _rows(connection, Kind.TRIAL, trial) if row.slot == BRANCH_SLOT]
    return next((row for row in found if row.bytes), None)


def forget(
    connection: Connection, kind: str, item: int, *, but_newest: bool = False
) -> frozenset[str]:
    """The files of an item are gone, or about to be; those that stay.

    The newest does if asked, and a branch point beside it.
    """
    stays = frozenset[str]()
    if but_newest:
        branches = [row for row in _rows(connection, kind, item) if row.slot == BRANCH_SLOT]
        newest = newest_first(connection, kind, item)[:1]
        stays = frozenset(row.file for row in (*branches, *newest))
    c = checkpoints.c
    query = update(checkpoints).where(c.kind == kind, c.item == item, c.bytes > 0)
    connection.execute(query.where(c.file.not_in(stays)).values(bytes=0))
    return stays


def total_bytes(connection: Connection, study_id: int) -> int:
    """What the checkpoints of the study's running and waiting trials and runs hold together.

    What has ended does not count: its files go with the next sweep.
    """
    c = checkpoints.c
    runs = (
        and_(c.kind == kind, c.item.in_(_running(table, study_id)))
        for kind, table in TABLES.items()
    )
    query = select(func.coalesce(func.sum(c.bytes), 0)).where(c.study_id == study_id, or_(*runs))
    return int(connection.execute(query).scalar_one())


def _running(table: Table, study_id: int, states: Sequence[str] = tuple(OPEN)) -> Select[int]:
    mine = (table.c.study_id == study_id, table.c.state.in_(states))
    return select(table.c.id).where(*mine)


def forget_ended(
    connection: Connection, study_id: int, *, keep_weights: bool = False
) -> set[tuple[str, int]]:
    """Forget the checkpoints of what has ended; kind and id of everything that has not.

    With `keep_weights` a complete trial counts as one that has not: its weights are in them.
    """
    states = {kind: list(OPEN) for kind in TABLES}
    if keep_weights:
        states[Kind.TRIAL].append(TrialState.COMPLETE)
    running = {
        (str(kind), int(item))
        for kind, table in TABLES.items()
        for item in connection.execute(_running(table, study_id, states[kind])).scalars()
    }
    c = checkpoints.c
    query = select(c.kind, c.item).where(c.study_id == study_id, c.bytes > 0)
    for kind, item in {(kind, item) for kind, item in connection.execute(query)} - running:
        forget(connection, kind, item)
    return running
