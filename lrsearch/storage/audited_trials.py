"""What is asked of audited trials: which begin, and how they ended over a project's studies."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select, update

from lrsearch.storage.records import StudyRecord, TrialRecord, fetch_as
from lrsearch.storage.tables import curves, studies, trials
from lrsearch.trial.states import TrialState


def count_of(connection: Connection, trial: int) -> tuple[int, int | None]:
    """The trial's ticket, and how many trials its study is to have; None where nothing says."""
    query = (
        select(trials.c.ticket, studies.c.trials_total)
        .join(studies, studies.c.study_id == trials.c.study_id)
        .where(trials.c.id == trial)
    )
    ticket, total = connection.execute(query).one()
    return ticket, total


def begin(connection: Connection, trial: int, rung: int, validation: int) -> None:
    """Record that the trial goes on past a rung that would stop it, and what it has trained."""
    trained = select(func.max(curves.c.epoch)).where(
        curves.c.trial == trial, curves.c.validation == validation
    )
    values = {"audited_at": rung, "audit_from": trained.scalar_subquery()}
    connection.execute(update(trials).where(trials.c.id == trial).values(values))


def of_project(connection: Connection, study: StudyRecord) -> Sequence[TrialRecord]:
    """The audited trials that are complete or diverged of a study and of others of its project.

    A study without a project stands alone.
    """
    ended = (TrialState.COMPLETE, TrialState.DIVERGED)
    pool = trials.c.study_id == study.study_id
    project = study.definition.get("project")
    if project:
        pool = studies.c.definition["project"].as_string() == project
    query = (
        select(trials)
        .join(studies, studies.c.study_id == trials.c.study_id)
        .where(pool, trials.c.audited_at.is_not(None), trials.c.state.in_(ended))
        .order_by(trials.c.study_id, trials.c.ticket)
    )
    return fetch_as(connection, query, TrialRecord)


def ends(connection: Connection, study_id: int) -> tuple[int, list[float]]:
    """How many trials a study has started, and the values of the complete ones."""
    t, s = trials.c, studies.c
    values = select(t.value).where(
        t.study_id == study_id, t.state == TrialState.COMPLETE, t.value.is_not(None)
    )
    started = select(s.trials_used).where(s.study_id == study_id)
    found = list(connection.execute(values).scalars())
    return connection.execute(started).scalar_one(), found


def direction(connection: Connection, study_id: int) -> str:
    """`minimize` or `maximize`."""
    query = select(studies.c.definition["objective"]["direction"].as_string())
    return str(connection.execute(query.where(studies.c.study_id == study_id)).scalar_one())
