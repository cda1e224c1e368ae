"""What is asked of audited trials: which begin, and how they ended over a project's studies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from lrsearch.storage.records import TrialRecord, fetch_as
from lrsearch.storage.tables import studies, trials
from lrsearch.trial.states import TrialState


def begin(connection: Connection, trial: int, rung: int, epochs: float) -> None:
    """Record that the trial goes on past a rung that would stop it, and what it has trained."""
    values = {"audited_at": rung, "audit_from": epochs}
    connection.execute(update(trials).where(trials.c.id == trial).values(values))


def of_project(connection: Connection, project: str) -> Sequence[TrialRecord]:
    """The audited trials of a project that are complete or diverged, by study and ticket."""
    ended = (TrialState.COMPLETE, TrialState.DIVERGED)
    pool = studies.c.definition["project"].as_string() == project
    query = (
        select(trials)
        .join(studies, studies.c.study_id == trials.c.study_id)
        .where(pool, trials.c.audited_at.is_not(None), trials.c.state.in_(ended))
        .order_by(trials.c.study_id, trials.c.ticket)
    )
    return fetch_as(connection, query, TrialRecord)


@dataclass(frozen=True, kw_only=True)
class StudyEnds:
    """How a study's trials ended, as far as an audited one is compared with them."""

    #: minimize | maximize
    direction: str
    #: Trials that were started.
    started: int
    #: Of the complete trials.
    values: tuple[float, ...]


def ends(connection: Connection, study_ids: Iterable[int]) -> dict[int, StudyEnds]:
    """How the trials of these studies ended, by study."""
    t, s = trials.c, studies.c
    ids = list(study_ids)
    complete = select(t.study_id, t.value).where(
        t.study_id.in_(ids), t.state == TrialState.COMPLETE, t.value.is_not(None)
    )
    values: dict[int, list[float]] = {study_id: [] for study_id in ids}
    for study_id, value in connection.execute(complete):
        values[study_id].append(value)
    direction = s.definition["objective"]["direction"].as_string().label("direction")
    counted = (s.trials_used - s.trials_returned).label("counted")
    query = select(s.study_id, counted, direction).where(s.study_id.in_(ids))
    return {
        row.study_id: StudyEnds(
            direction=row.direction, started=row.counted, values=tuple(values[row.study_id])
        )
        for row in connection.execute(query)
    }
