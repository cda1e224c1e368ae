"""From a study in the database to the value that all output is made of, in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from sqlalchemy import Connection

from lrsearch.errors import StudyError, near_miss
from lrsearch.report.model import MOST_FAULTS, Report
from lrsearch.report.rows import OptimizerRangeTest, Trial
from lrsearch.report.shown import faint_trials, shown_trials
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.trial_value import best_validation, objective_value
from lrsearch.storage import (
    audited_trials,
    confirmations,
    curves,
    engines,
    range_tests,
    rungs,
    studies,
    trials,
    workers,
)
from lrsearch.storage.audited_trials import StudyEnds
from lrsearch.storage.database import Database, explained
from lrsearch.storage.records import StudyRecord
from lrsearch.study.stored_study import StoredStudy


class StudyHandle(Protocol):
    """A study of a database, as `study.stored_study.StoredStudy` names it."""

    @property
    def database(self) -> Database: ...
    @property
    def study_id(self) -> int: ...
    @property
    def name(self) -> str: ...


def load_report(database: Database, name: str, *, with_curves: bool = False) -> Report:
    """The study as it stands; `with_curves` reads those of the trials that a page draws.

    Raises StudyError with the near misses for a study that is not there.
    """
    with explained(database), database.read() as connection:
        study = studies.by_name(connection, name)
        if study is None:
            known = [other.name for other in studies.everything(connection)]
            hint = near_miss(name, known) if known else "; there are none yet"
            raise StudyError(f"no study {name!r}{hint}")
        return _read(connection, study, database, with_curves=with_curves)


def report_of(study: StudyHandle, *, with_curves: bool = False) -> Report:
    """The same of an opened study. Raises StudyError if it was deleted."""
    with study.database.read() as connection:
        found = studies.by_id(connection, study.study_id)
        if found is None:
            raise StudyError(f"study {study.name!r} is no longer in the database")
        return _read(connection, found, study.database, with_curves=with_curves)


def reports(database: Database) -> list[Report]:
    """Every study of the database, the oldest first."""
    with explained(database), database.read() as connection:
        found = studies.everything(connection)
        return [_read(connection, study, database, with_curves=False) for study in found]


def _read(
    connection: Connection, study: StudyRecord, database: Database, *, with_curves: bool
) -> Report:
    spec = StudySpec.from_stored(study.definition)
    study_id = study.study_id
    started = tuple(Trial.of(record) for record in trials.everything(connection, study_id))
    audited, ends = _pool(connection, study, spec, started)
    report = Report(
        study=study,
        spec=spec,
        elapsed=studies.elapsed(connection, study_id),
        may_start=StoredStudy(database, study).may_start(connection),
        trials=started,
        runs=tuple(confirmations.everything(connection, study_id)),
        range_tests=tuple(
            OptimizerRangeTest.of(record) for record in range_tests.everything(connection, study_id)
        ),
        engines=tuple(engines.of_study(connection, study_id)),
        audited=audited,
        ends=ends,
        curves={},
        marks=tuple(rungs.of_study(connection, study_id)),
        resume=study.resume,
        workers=tuple(workers.everyone(connection, study_id)),
        faults=tuple(workers.notes(connection, study_id, limit=MOST_FAULTS)),
        storage=database.location.shown,
        other_trials=_other_trials(connection, spec, started),
    )
    return _with_curves(connection, report) if with_curves else report


def _other_trials(
    connection: Connection, spec: StudySpec, started: Sequence[Trial]
) -> tuple[Trial, ...]:
    """Of a ladder its complete trials with what `last` is worth in place of `best`, or so."""
    if spec.ladder is None:
        return ()
    at = "best" if spec.objective.at == "last" else "last"
    objective = spec.objective.model_copy(update={"at": at})
    other = spec.model_copy(update={"objective": objective})
    rows = curves.of_trials(connection, [trial.id for trial in started if trial.is_scored])
    found = []
    for trial in started:
        best = best_validation(rows.get(trial.id, ()), other)
        if best is not None:
            found.append(replace(trial, value=objective_value(best, other)))
    return tuple(found)


def with_curves(study: StudyHandle, report: Report) -> Report:
    """The same report with the curves of the trials that are drawn one by one."""
    with study.database.read() as connection:
        return _with_curves(connection, report)


def _with_curves(connection: Connection, report: Report) -> Report:
    found = curves.of_trials(
        connection, [trial.id for trial in (*shown_trials(report), *faint_trials(report))]
    )
    return replace(report, curves={trial: tuple(rows) for trial, rows in found.items()})


def _pool(
    connection: Connection, study: StudyRecord, spec: StudySpec, own: Sequence[Trial]
) -> tuple[tuple[Trial, ...], Mapping[int, StudyEnds]]:
    """The audited trials of the study's project, and how the trials of those studies ended.

    A study without a project stands alone.
    """
    audited = tuple(trial for trial in own if trial.is_audited)
    complete = tuple(t.value for t in own if t.is_scored and t.value is not None)
    ends = StudyEnds(
        direction=spec.objective.direction, started=study.trials_counted, values=complete
    )
    if not spec.project:
        return audited, {study.study_id: ends}
    records = audited_trials.of_project(connection, spec.project)
    owners = {record.study_id for record in records}
    return tuple(Trial.of(record) for record in records), audited_trials.ends(connection, owners)
