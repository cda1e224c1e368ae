"""Rows that nobody reads any more, and their removal.

What belongs to a study goes with it by itself. What is left behind belongs to trials that have
ended: their leases, records of checkpoints whose files are gone, and validations that a later
attempt has made again.
"""

from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
)

from lrsearch.storage.leases import TABLES
from lrsearch.storage.tables import checkpoints, curves, leases, trials
from lrsearch.trial.states import OPEN


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """How many rows there are of each kind."""

    leases: int
    checkpoints: int
    #: Validations of attempts that `study curves --all-attempts` alone shows.
    attempts: int


def count(connection: Connection, *, attempts: bool) -> Garbage:
    """What `remove` would remove."""
    numbers = {
        table.name: connection.execute(
            select(func.count()).select_from(table).where(which)
        ).scalar_one()
        for table, which in _garbage(attempts=attempts)
    }
    return _found(numbers)


def remove(connection: Connection, *, attempts: bool) -> Garbage:
    """Remove it, and the validations of earlier `attempts` if these are wanted too.

    Safe beside workers: nothing of a trial that runs or waits is touched.
    """
    numbers = {
        table.name: connection.execute(delete(table).where(which)).rowcount
        for table, which in _garbage(attempts=attempts)
    }
    return _found(numbers)


def _found(numbers: dict[str, int]) -> Garbage:
    return Garbage(
        leases=numbers[leases.name],
        checkpoints=numbers[checkpoints.name],
        attempts=numbers.get(curves.name, 0),
    )


def _garbage(*, attempts: bool) -> list[tuple[Table, ColumnElement[bool]]]:
    found: list[tuple[Table, ColumnElement[bool]]] = [
        (leases, and_(leases.c.expires_at.is_(None), not_(_is_open(leases)))),
        (checkpoints, and_(checkpoints.c.bytes == 0, not_(_is_open(checkpoints)))),
    ]
    if attempts:
        later = curves.alias().c
        again = exists().where(
            later.trial == curves.c.trial,
            later.validation == curves.c.validation,
            later.attempt > curves.c.attempt,
        )
        ended = exists().where(trials.c.id == curves.c.trial, trials.c.state.not_in(OPEN))
        found.append((curves, and_(again, ended)))
    return found


def _is_open(table: Table) -> ColumnElement[bool]:
    """Whether what a row is of still runs or waits."""
    c = table.c
    return or_(
        *(
            and_(c.kind == kind, exists().where(of.c.id == c.item, of.c.state.in_(OPEN)))
            for kind, of in TABLES.items()
        )
    )
