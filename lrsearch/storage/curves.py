"""Curves: one row per validation of a trial's attempt, written in batches."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    ScalarSelect,
    Select,
    bindparam,
    exists,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite

from lrsearch.plain_data import Document, Fields
from lrsearch.storage.leases import Claim, Kind, held_by_name, named
from lrsearch.storage.records import CurveRecord, fetch_as
from lrsearch.storage.rows import from_json
from lrsearch.storage.tables import curves, trials
from lrsearch.trial.curve import Validation
from lrsearch.trial.states import TrialState


class LostRowsError(Exception):
    """A trial's recipe or rows were committed and are not there: the database stands where it did.

    So after a failover to a replica that lacked the last commits, or a crash with
    `synchronous_commit` off. Whoever gets this writes the recipe and all rows of the attempt again.
    A trial without a recipe has no rows, marks or checkpoints: whoever takes it over draws another.
    """


def add(
    connection: Connection, claim: Claim, rows: Sequence[Validation], *, taken: int | None = None
) -> bool:
    """Append validations of a trial's attempt; those that are there already stay as they are.

    False, and nothing written, if the claim is lost. The trial stays locked until the transaction
    ends, so that no worker takes it over before. `taken` is how many validations this attempt has
    taken so far, those of `rows` included: raises LostRowsError if the others are not all there, or
    if the trial has no recipe.
    """
    if connection.dialect.name == "postgresql":
        return _add_at_once(connection, claim, rows, taken=taken)
    held = connection.execute(_HELD, named(claim)).first()
    if held is None:
        return False
    require_recipe(held.fingerprint)
    append(connection, claim, rows, taken=taken)
    return True


def _add_at_once(
    connection: Connection, claim: Claim, rows: Sequence[Validation], *, taken: int | None
) -> bool:
    """On PostgreSQL, by one statement."""
    values: Document = {**named(claim), **(as_json(claim, rows) if rows else {})}
    if taken is not None:
        values["first"] = rows[0].validation if rows else None
    query = _added(has_rows=bool(rows), counts_rows=taken is not None)
    found = connection.execute(query, values).first()
    if found is None:
        return False
    require_recipe(found.fingerprint)
    if taken is not None and found.rows_before < taken - len(rows):
        raise LostRowsError
    return True


def require_recipe(fingerprint: str | None) -> None:
    """Raises LostRowsError if a trial in training has no recipe; `fingerprint` is what it has."""
    if fingerprint is None:
        raise LostRowsError


@cache
def _added(*, has_rows: bool, counts_rows: bool) -> Select[Any]:
    query = _HELD.add_columns(rows_before().label("rows_before")) if counts_rows else _HELD
    held = query.cte("held")
    found = select(held)
    return found.add_cte(from_json_where(exists(found)).cte("new_rows")) if has_rows else found


_HELD = (
    select(trials.c.id, trials.c.fingerprint)
    .where(held_by_name(Kind.TRIAL))
    .with_for_update(key_share=True)
)


def append(
    connection: Connection, claim: Claim, rows: Sequence[Validation], *, taken: int | None
) -> None:
    """As `add`, for a claim that is known to stand, whose trial is locked."""
    if taken is not None:
        require(connection, claim, taken - len(rows), before=rows[0].validation if rows else None)
    if rows:
        _insert(connection, claim, rows)


def require(connection: Connection, claim: Claim, count: int, *, before: int | None) -> None:
    """Raises LostRowsError unless this attempt has so many rows.

    Counted are those `before` this validation; with None, all.
    """
    values = {"claim_id": claim.id, "claim_attempt": claim.attempt, "first": before}
    if connection.execute(select(rows_before()), values).scalar_one() < count:
        raise LostRowsError


def rows_before() -> ScalarSelect[int]:
    """How many rows an attempt has before its validation `first`, or at all where that is NULL.

    The other parameters are those of `leases.named`.
    """
    c, first = curves.c, bindparam("first", type_=Integer)
    of_attempt = (c.trial == bindparam("claim_id"), c.attempt == bindparam("claim_attempt"))
    query = select(func.count()).where(*of_attempt, or_(first.is_(None), c.validation < first))
    return query.scalar_subquery()


def has_gap(connection: Connection, claim: Claim) -> bool:
    """Whether the trial's curve lacks a validation before the last of this attempt."""
    c, own = curves.c, curves.alias().c
    last = select(func.max(own.validation)).where(
        own.trial == claim.id, own.attempt == claim.attempt
    )
    query = select(func.count(c.validation.distinct()), last.scalar_subquery()).where(
        c.trial == claim.id, c.validation <= last.scalar_subquery()
    )
    found, reached = connection.execute(query).one()
    return bool(reached is not None and found < reached)


def _insert(connection: Connection, claim: Claim, rows: Sequence[Validation]) -> None:
    """What is there already stays: so after a lost acknowledgement, when this is done again."""
    if connection.dialect.name == "sqlite":
        values = [_columns(claim, row) for row in rows]
        connection.execute(sqlite.insert(curves).on_conflict_do_nothing(), values)
    else:
        connection.execute(_FROM_JSON, as_json(claim, rows))


def as_json(claim: Claim, rows: Sequence[Validation]) -> Fields:
    """The parameter of `from_json_where`."""
    return {"rows": json.dumps([_columns(claim, row) for row in rows], allow_nan=False)}


def from_json_where(condition: ColumnElement[bool]) -> postgresql.Insert:
    """On PostgreSQL: rows as a statement that writes them, or nothing."""
    rows = from_json("rows", list(curves.c)).where(condition)
    new = postgresql.insert(curves).from_select([own.name for own in curves.c], rows)
    return new.on_conflict_do_nothing()


_FROM_JSON = from_json_where(true())


def _columns(claim: Claim, row: Validation) -> Fields:
    stored = {name: value for name, value in vars(row.stored()).items() if name != "test"}
    return {**stored, "trial": claim.id, "attempt": claim.attempt}


def latest(rows: Sequence[CurveRecord]) -> list[CurveRecord]:
    """Of each trial, every validation as the highest attempt saw it, up to where that one stands.

    `rows` come by attempt; an attempt that went on from a checkpoint has no rows before it.
    """
    kept: dict[tuple[int, int], CurveRecord] = {}
    reached: dict[int, int] = {}
    for row in rows:
        kept[row.trial, row.validation] = row
        reached[row.trial] = row.validation
    return [
        row for (trial, validation), row in sorted(kept.items()) if validation <= reached[trial]
    ]


def of_study(
    connection: Connection, study_id: int, *, number: int | None = None, all_attempts: bool = False
) -> Sequence[CurveRecord]:
    """Rows with the trial's number, of one trial or all, by trial and validation."""
    query = (
        select(trials.c.number, curves)
        .join(trials, trials.c.id == curves.c.trial)
        .where(trials.c.study_id == study_id)
        .order_by(trials.c.id, curves.c.attempt, curves.c.validation)
    )
    if number is not None:
        query = query.where(trials.c.number == number)
    rows = fetch_as(connection, query, CurveRecord)
    return rows if all_attempts else latest(rows)


def of_trial(connection: Connection, trial: int, *, after: int = 0) -> Sequence[CurveRecord]:
    """One trial's curve, validations without gaps; `after` leaves out those up to this number."""
    query = (
        select(curves)
        .where(curves.c.trial == trial, curves.c.validation > after)
        .order_by(curves.c.attempt, curves.c.validation)
    )
    return latest(fetch_as(connection, query, CurveRecord))


def of_trials(connection: Connection, ids: Sequence[int]) -> dict[int, list[CurveRecord]]:
    """The curves of these trials by their ids, validations without gaps."""
    query = (
        select(curves)
        .where(curves.c.trial.in_(ids))
        .order_by(curves.c.trial, curves.c.attempt, curves.c.validation)
    )
    found: dict[int, list[CurveRecord]] = {trial: [] for trial in ids}
    for row in latest(fetch_as(connection, query, CurveRecord)):
        found[row.trial].append(row)
    return found


def longest_training(connection: Connection, study_id: int) -> float:
    """Of the study's complete trials, the most seconds that one took; 0 before there is one."""
    query = select(func.coalesce(func.max(trials.c.seconds), 0.0)).where(
        trials.c.study_id == study_id, trials.c.state == TrialState.COMPLETE
    )
    return float(connection.execute(query).scalar_one())


def most_validations(connection: Connection, study_id: int) -> int | None:
    """Of the study's complete trials, the most validations of one; None before there is one."""
    query = (
        select(func.max(curves.c.validation))
        .join(trials, trials.c.id == curves.c.trial)
        .where(trials.c.study_id == study_id, trials.c.state == TrialState.COMPLETE)
    )
    found: int | None = connection.execute(query).scalar()
    return found
