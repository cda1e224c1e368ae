"""How many marks a rung has, and which is the last that passes: kept, so that nothing is counted.

The finite marks at a rung are in order by value and trial. One of them is the *cut*, and it is
known how many come before it. A decision moves the cut to the last mark that passes, along the
index: a step or two, as each mark moves that place by one at most.

All of one rung's transactions are one after the other, from their mark until they end.
"""

import math
from dataclasses import dataclass, replace

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from lrsearch.storage.records import fetch_first_as
from lrsearch.storage.rows import insert_or
from lrsearch.storage.tables import rung_counts, rungs

_COLUMNS = tuple(rung_counts.c[name] for name in ("marks", "cut_value", "cut_trial", "below"))
_FIRST = ("study_id", "rung", "marks", "below")
#: Where a mark stands in the order: its value, then its trial's id.
Position = tuple[float, int]


@dataclass(frozen=True, kw_only=True)
class Count:
    """The finite marks at a rung."""

    marks: int
    cut_value: float | None
    cut_trial: int | None
    #: Marks before the cut.
    below: int

    @property
    def cut(self) -> Position | None:
        """None before the first decision."""
        if self.cut_value is None or self.cut_trial is None:
            return None
        return self.cut_value, self.cut_trial

    def decides(self, signal: float, place: int) -> bool | None:
        """Whether fewer than `place` marks are strictly lower; None if the cut does not tell."""
        if place > self.marks:
            return True
        if self.cut_value is None:
            return None
        if self.below >= place:
            return False if signal > self.cut_value else None
        return True if signal <= self.cut_value else None


def add(
    connection: Connection, study_id: int, rung: int, *, new: Position | None, old: Position | None
) -> Count:
    """Count a mark that was just written, in place of an `old` one of the same trial.

    None is a mark that is not finite, or none. The rung's other transactions wait from here on.
    """
    counted = _counted(connection, study_id, rung, new, old)
    if counted is not None:
        return counted
    c = rungs.c
    values = (literal(study_id), literal(rung), func.count(), literal(0))
    query = select(*values).where(c.study_id == study_id, c.rung == rung, c.value < math.inf)
    first = insert_or(connection, rung_counts).from_select(_FIRST, query).on_conflict_do_nothing()
    made = fetch_first_as(connection, first.returning(*_COLUMNS), Count)
    if made is None:  # another transaction has made it, and does not know of this mark
        made = _counted(connection, study_id, rung, new, old)
    assert made is not None
    return made


def _counted(
    connection: Connection, study_id: int, rung: int, new: Position | None, old: Position | None
) -> Count | None:
    c = rung_counts.c
    values = {
        "marks": c.marks + ((new is not None) - (old is not None)),
        "below": c.below + _before_cut(new) - _before_cut(old),
    }
    query = update(rung_counts).where(c.study_id == study_id, c.rung == rung).values(values)
    return fetch_first_as(connection, query.returning(*_COLUMNS), Count)


def _before_cut(mark: Position | None) -> ColumnElement[int]:
    """1 for a mark before the cut, else 0."""
    c = rung_counts.c
    if mark is None:
        return literal(0)
    value, trial = mark
    earlier = or_(c.cut_value > value, and_(c.cut_value == value, c.cut_trial > trial))
    return case((earlier, 1), else_=0)


def move_cut(connection: Connection, study_id: int, rung: int, count: Count, place: int) -> Count:
    """Let the cut be the mark at this place of the order, from 1; the rung has as many."""
    value, trial = _find(connection, study_id, rung, count, place)
    moved = replace(count, cut_value=value, cut_trial=trial, below=place - 1)
    if moved != count:
        c = rung_counts.c
        change = update(rung_counts).where(c.study_id == study_id, c.rung == rung)
        cut = {"cut_value": value, "cut_trial": trial, "below": moved.below}
        connection.execute(change.values(cut))
    return moved


def _find(connection: Connection, study_id: int, rung: int, count: Count, place: int) -> Position:
    """The mark at a place, along the index from the cut on."""
    c, cut = rungs.c, count.cut
    query = select(c.value, c.trial).where(c.study_id == study_id, c.rung == rung)
    own = tuple_(c.value, c.trial)
    if cut is None:
        query = query.order_by(c.value, c.trial).offset(place - 1)
    elif count.below < place:
        later = query.where(own >= tuple_(*map(literal, cut)))
        query = later.order_by(c.value, c.trial).offset(place - 1 - count.below)
    else:
        earlier = query.where(own < tuple_(*map(literal, cut)))
        query = earlier.order_by(c.value.desc(), c.trial.desc()).offset(count.below - place)
    value, trial = connection.execute(query.limit(1)).one()
    return value, trial


def recount(connection: Connection, study_id: int) -> list[int]:
    """Count a study's marks anew; the rungs where another number was kept, or a wrong place."""
    c = rung_counts.c
    query = select(c.rung, *_COLUMNS).where(c.study_id == study_id).order_by(c.rung)
    found = connection.execute(query.with_for_update()).all()
    off = []
    for rung, *kept in found:
        count = Count(**dict(zip(("marks", "cut_value", "cut_trial", "below"), kept, strict=True)))
        marks = _number(connection, study_id, rung, None)
        below = _number(connection, study_id, rung, count.cut) if count.cut else 0
        if (marks, below) == (count.marks, count.below):
            continue
        change = update(rung_counts).where(c.study_id == study_id, c.rung == rung)
        connection.execute(change.values(marks=marks, below=below))
        off.append(rung)
    return off


def _number(connection: Connection, study_id: int, rung: int, before: Position | None) -> int:
    """How many finite marks the rung has, or how many before a position."""
    c = rungs.c
    query = select(func.count()).where(c.study_id == study_id, c.rung == rung, c.value < math.inf)
    if before is not None:
        query = query.where(tuple_(c.value, c.trial) < tuple_(*map(literal, before)))
    return int(connection.execute(query).scalar_one())
