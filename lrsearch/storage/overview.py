"""What is asked of all studies of a database at once, in a few queries however many there are."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from lrsearch.storage.column_types import db_now
from lrsearch.storage.records import fetch_as
from lrsearch.storage.tables import confirmations, curves, events, range_tests, studies, trials
from lrsearch.storage.tables import workers as workers_table
from lrsearch.trial import states
from lrsearch.trial.states import TrialState


@dataclass(frozen=True, kw_only=True)
class StudyMarks:
    """What changes in a study while it is worked on; equal marks: nothing has changed."""

    study_id: int
    name: str
    #: A `StudyState`.
    state: str
    spec_hash: str
    created_at: float
    trials_total: int | None
    trials_used: int
    trials_ended: int
    epochs_total: float | None
    epochs_used: float
    #: Trials that run now.
    running: int
    #: Confirmation runs, and those that are still to end.
    runs: int
    open_runs: int
    #: Range tests that have ended.
    tested: int
    #: Lines about faults.
    faults: int
    #: Validations of the trials that run now.
    validations: int
    #: Of complete trials; None before there is one.
    lowest: float | None
    highest: float | None


def everything(connection: Connection) -> Sequence[StudyMarks]:
    """All studies, the newest first."""
    s, t, c, r = studies.c, trials.c, confirmations.c, range_tests.c
    complete = (t.study_id == s.study_id, t.state == TrialState.COMPLETE)
    is_open = c.state.in_(states.OPEN)
    own = (
        s.study_id,
        s.name,
        s.state,
        s.spec_hash,
        s.created_at,
        s.trials_total,
        s.trials_used,
        s.trials_ended,
        s.epochs_total,
        s.epochs_used,
    )
    running = (t.study_id == s.study_id, t.state == TrialState.RUNNING)
    counts = {
        "running": select(func.count()).where(*running),
        "runs": select(func.count()).where(c.study_id == s.study_id),
        "open_runs": select(func.count(case((is_open, 1)))).where(c.study_id == s.study_id),
        "tested": select(func.count()).where(r.study_id == s.study_id, r.state.not_in(states.OPEN)),
        "faults": select(func.count()).where(events.c.study_id == s.study_id),
        "validations": select(func.count())
        .select_from(curves.join(trials, t.id == curves.c.trial))
        .where(*running),
        "lowest": select(func.min(t.value)).where(*complete),
        "highest": select(func.max(t.value)).where(*complete),
    }
    columns = [query.scalar_subquery().label(name) for name, query in counts.items()]
    return fetch_as(connection, select(*own, *columns).order_by(s.study_id.desc()), StudyMarks)


def now(connection: Connection) -> float:
    """The database's clock, in seconds since 1970."""
    return float(connection.execute(select(db_now())).scalar_one())


def present_workers(connection: Connection, seconds: float) -> dict[int, int]:
    """How many workers of each study have not ended and were seen in the last so many seconds."""
    w = workers_table.c
    here = (w.ended_at.is_(None), db_now() - w.seen_at <= seconds)
    query = select(w.study_id, func.count()).where(*here).group_by(w.study_id)
    return {row[0]: row[1] for row in connection.execute(query)}
