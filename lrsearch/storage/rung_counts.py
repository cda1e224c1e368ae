"""How many marks a rung has, and which is the last that passes: kept, so that nothing is counted.

The finite marks at a rung are in order by value and trial. One of them is the *cut*, and it is
known how many come before it. A decision moves the cut to the last mark that passes, along the
index: a step or two, as each mark moves that place by one at most.

All of one rung's transactions are one after the other, from their mark until they end.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Insert,
    Integer,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from lrsearch.plain_data import Fields
from lrsearch.storage.tables import rung_counts, rungs

_COLUMNS = tuple(rung_counts.c[name] for name in ("marks", "cut_value", "cut_trial", "below"))
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
        if signal > self.cut_value:  # lower are the cut, and all before it
            return False if self.below + 1 >= place else None
        return True if self.below < place else None


@dataclass(frozen=True, kw_only=True)
class Change:
    """A trial's mark at a rung."""

    trial: int
    study_id: int
    rung: int
    #: Lower is better; infinite where it was not finite.
    signal: float
    #: Of the mark that it replaces.
    before: float | None

    def named(self) -> Fields:
        """The parameters of the statements here. Marks that are not finite are not counted."""
        new, old = finite(self.signal), finite(self.before)
        return {
            "of_study": self.study_id,
            "at_rung": self.rung,
            "of_trial": self.trial,
            "signal": self.signal,
            "new": new,
            "old": old,
        }


def finite(value: float | None) -> float | None:
    """A mark that is counted; None for one that is not, or none."""
    return None if value is None or math.isinf(value) else value


def add(connection: Connection, change: Change) -> Count:
    """Write a mark and count it. The rung's other transactions wait from here on."""
    values, mark = change.named(), _mark(connection.dialect.name)
    if connection.dialect.name == "postgresql":  # one round trip
        found = connection.execute(_counted(mark), values).mappings().first()
    else:
        connection.execute(mark, values)
        found = connection.execute(_counted(), values).mappings().first()
    return count_first(connection, change) if found is None else Count(**found)


def count_first(connection: Connection, change: Change) -> Count:
    """The count of a rung that had none when the mark was written."""
    values = change.named()
    found = connection.execute(_made(connection.dialect.name), values).mappings().first()
    if found is None:  # another transaction has made it meanwhile, that does not know of this mark
        found = connection.execute(_counted(), values).mappings().one()
    return Count(**found)


#: Not as parameters: psycopg keeps how it sends statements of 4,096 characters at most.
_ONE, _NONE = literal_column("1", Integer), literal_column("0", Integer)
_STUDY, RUNG, _TRIAL = (
    bindparam(name, type_=Integer) for name in ("of_study", "at_rung", "of_trial")
)
_OF_RUNG = (rung_counts.c.study_id == _STUDY, rung_counts.c.rung == RUNG)


@cache
def _mark(dialect: str) -> Insert:
    """A trial's mark, in place of an earlier one."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    signal = bindparam("signal", type_=Float)
    new = insert(rungs).values(trial=_TRIAL, rung=RUNG, study_id=_STUDY, value=signal)
    same = ["trial", "rung"]
    return new.on_conflict_do_update(index_elements=same, set_={"value": new.excluded.value})


@cache
def _counted(mark: Insert | None = None) -> ReturningUpdate[Any]:
    # Cast: to PostgreSQL, NULL alone says nothing of its type.
    new, old = (cast(bindparam(name, type_=Float), Float) for name in ("new", "old"))
    query = counted(_STUDY, new, old)
    return query if mark is None else query.add_cte(mark.cte("mark"))


def counted(
    study_id: ColumnElement[int], new: ColumnElement[float], old: ColumnElement[float]
) -> ReturningUpdate[Any]:
    """Count a mark, as a statement; NULL is a mark that is not counted, or none.

    `old` is that of the same trial which it replaces. Parameters are `at_rung` and `of_trial`.
    """
    c = rung_counts.c
    count = update(rung_counts).where(c.study_id == study_id, c.rung == RUNG)
    # Where the cut's own mark is replaced there is none, until the next decision looks for one.
    is_cut = and_(c.cut_trial == _TRIAL, old.is_distinct_from(new))
    below = c.below + _before_cut(new) - _before_cut(old)
    return count.values(
        marks=c.marks + _is_one(new) - _is_one(old),
        below=case((is_cut, _NONE), else_=below),
        cut_value=case((is_cut, null()), else_=c.cut_value),
        cut_trial=case((is_cut, null()), else_=c.cut_trial),
    ).returning(*_COLUMNS)


def _is_one(mark: ColumnElement[float]) -> ColumnElement[int]:
    return case((mark.is_not(None), _ONE), else_=_NONE)


def _before_cut(value: ColumnElement[float]) -> ColumnElement[int]:
    """1 if the trial's mark with this value is before the cut, else 0; 0 for none."""
    c = rung_counts.c
    earlier = or_(c.cut_value > value, and_(c.cut_value == value, c.cut_trial > _TRIAL))
    return case((earlier, _ONE), else_=_NONE)


@cache
def _made(dialect: str) -> ReturningInsert[Any]:
    """The count of a rung that has none; nothing if it has by now."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    c = rungs.c
    marks = select(_STUDY, RUNG, func.count(), literal(0)).where(
        c.study_id == _STUDY, c.rung == RUNG, c.value < math.inf
    )
    columns = ("study_id", "rung", "marks", "below")
    first = insert(rung_counts).from_select(columns, marks).on_conflict_do_nothing()
    return first.returning(*_COLUMNS)


def move_cut(connection: Connection, study_id: int, rung: int, count: Count, place: int) -> float:
    """Let the cut be the mark at this place of the order, from 1; its value.

    The rung has as many. It is looked for along the index, from the cut on.
    """
    steps, way = place - 1 - count.below, Way.ONWARDS
    if count.cut_value is None:
        way = Way.FROM_START
    elif steps < 0:
        steps, way = -1 - steps, Way.BACK
    values = {
        "of_study": study_id,
        "at_rung": rung,
        "cut": count.cut_value,
        "of_trial": count.cut_trial,
        "steps": steps,
        "before": place - 1,
    }
    value: float = connection.execute(_moved(way), values).scalar_one()
    return value


class Way(Enum):
    """How a mark is looked for."""

    FROM_START = auto()
    ONWARDS = auto()  #: from the cut
    BACK = auto()  #: from before it


@cache
def _moved(way: Way) -> ReturningUpdate[Any]:
    c, k = rungs.c, rung_counts.c
    marks = select(c.value, c.trial).where(c.study_id == _STUDY, c.rung == RUNG)
    own, cut = tuple_(c.value, c.trial), tuple_(bindparam("cut", type_=Float), _TRIAL)
    order: tuple[ColumnElement[Any], ...] = (c.value, c.trial)
    if way == Way.ONWARDS:
        marks = marks.where(own >= cut)
    elif way == Way.BACK:
        marks, order = marks.where(own < cut), (c.value.desc(), c.trial.desc())
    steps = bindparam("steps", type_=Integer)
    found = marks.order_by(*order).offset(steps).limit(1).subquery()
    change = update(rung_counts).where(*_OF_RUNG)
    change = change.values(
        cut_value=select(found.c.value).scalar_subquery(),
        cut_trial=select(found.c.trial).scalar_subquery(),
        below=bindparam("before", type_=Integer),
    )
    return change.returning(k.cut_value)


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
