"""Which recipes of a study have a trial, by their fingerprints."""

from collections.abc import Mapping, Sequence

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    String,
    bindparam,
    exists,
    func,
    not_,
    or_,
    select,
    update,
)

from lrsearch.storage.column_types import db_now
from lrsearch.storage.records import TrialRecord, fetch_as
from lrsearch.storage.tables import studies, trials
from lrsearch.trial.states import MACHINE, OPEN, TrialState


def hold(connection: Connection, study_id: int, fingerprint: str) -> None:
    """Hold a recipe of a study until the transaction ends: nobody else does meanwhile.

    The first lock of its transaction, so that whoever waits for it holds nothing. Other recipes are
    not waited for. Nothing is to be done on SQLite, where one transaction writes at a time.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_HOLD, {"of_study": study_id, "mark": fingerprint})


#: Two recipes may come to the same number: then one waits for the other, in vain.
_HOLD = select(
    func.pg_advisory_xact_lock(
        func.hashtextextended(
            bindparam("mark", type_=String), bindparam("of_study", type_=BigInteger)
        )
    )
)


def has_no_other() -> ColumnElement[bool]:
    """For an update of a trial: whether no other one of its study has the fingerprint `new_mark`.

    The caller holds the recipe from an earlier statement on: this one sees all that was committed.
    """
    other = trials.alias("other").c
    mark = bindparam("new_mark", type_=String)
    same = (other.study_id == trials.c.study_id, other.fingerprint == mark)
    return not_(exists().where(*same, other.id != trials.c.id))


def has_trial(connection: Connection, study_id: int, fingerprint: str) -> bool:
    """Whether a trial of the study has the recipe."""
    t = trials.c
    query = select(t.id).where(t.study_id == study_id, t.fingerprint == fingerprint).limit(1)
    return connection.execute(query).first() is not None


def fingerprints(connection: Connection, study_id: int) -> set[str]:
    """Of the recipes that have a trial; what failed for its machine has none."""
    query = select(trials.c.fingerprint).where(
        trials.c.study_id == study_id, trials.c.fingerprint.is_not(None)
    )
    return set(connection.execute(query).scalars())


def with_undrawn(connection: Connection, study_id: int) -> tuple[set[str], int]:
    """The same, and how many running trials have no recipe yet, or one not recorded as theirs.

    Both are of one moment: a trial that gets its recipe meanwhile is counted once.
    """
    t = trials.c
    counted = or_(t.fingerprint.is_not(None), t.state == TrialState.RUNNING)
    query = select(t.fingerprint).where(t.study_id == study_id, counted)
    found = connection.execute(query).scalars().all()
    return {mark for mark in found if mark is not None}, found.count(None)


def unmarked(connection: Connection, study_id: int) -> Sequence[TrialRecord]:
    """Ended trials that have a recipe and no fingerprint: those of an earlier version."""
    t = trials.c
    query = select(trials).where(
        t.study_id == study_id,
        t.fingerprint.is_(None),
        t.recipe.is_not(None),
        t.kind != MACHINE,
        t.state.not_in(OPEN),
    )
    return fetch_as(connection, query, TrialRecord)


def mark(connection: Connection, fingerprints: Mapping[int, str | None]) -> None:
    """Record the fingerprints of recipes, by the id of their trial."""
    for trial, fingerprint in fingerprints.items():
        query = update(trials).where(trials.c.id == trial).values(fingerprint=fingerprint)
        connection.execute(query)


def exhausted(connection: Connection, study_id: int) -> None:
    """Record that every recipe of the space has its trial."""
    query = update(studies).where(studies.c.study_id == study_id, studies.c.exhausted_at.is_(None))
    connection.execute(query.values(exhausted_at=db_now()))
