"""Which recipes of a study have a trial, by their fingerprints."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, func, select, update

from lrsearch.storage.column_types import db_now
from lrsearch.storage.records import TrialRecord, fetch_as
from lrsearch.storage.tables import studies, trials
from lrsearch.trial.states import MACHINE, OPEN, TrialState


def fingerprints(connection: Connection, study_id: int) -> set[str]:
    """Of the recipes that have a trial; what failed for its machine has none."""
    query = select(trials.c.fingerprint).where(
        trials.c.study_id == study_id, trials.c.fingerprint.is_not(None)
    )
    return set(connection.execute(query).scalars())


def undrawn(connection: Connection, study_id: int) -> int:
    """How many running trials have no recipe yet, or one that is not recorded as theirs."""
    query = select(func.count()).where(
        trials.c.study_id == study_id,
        trials.c.state == TrialState.RUNNING,
        trials.c.fingerprint.is_(None),
    )
    return int(connection.execute(query).scalar_one())


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
