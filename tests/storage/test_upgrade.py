"""A database of the last version, brought up to date."""

import optuna
import pytest
from alembic import command
from optuna.trial import TrialState as OptunaState
from sqlalchemy import text
from tiny_studies import make_study, opened, tiny_spec

from lrsearch.storage import curves, engines, schema, studies, trials, workers
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.optuna import gate
from lrsearch.study.optuna.storage import optuna_storage
from lrsearch.study.prepare_database import prepare

LR_STUDY = (
    "INSERT INTO lr_study (study_id, name, definition, spec_hash, code, versions, state,"
    " steps_per_epoch, trials_used, epochs_used, epochs_reserved, created_at)"
    " VALUES (:study, 'old', '{}', '', '{}', '{}', 'open', 6, 8, 0, 0, 0)"
)
LR_TRIAL = (
    "INSERT INTO lr_trial (study_id, ticket, trial_id, number, kind, state, worker, attempt, value,"
    " reason, epochs, seconds, started_at, ended_at) VALUES (:study, :number + 1, :trial, :number,"
    " 'sampled', :state, 'host:1:1', 1, :value, :reason, 1, 1, 0, 86400.5)"
)
LR_CURVE = (
    "INSERT INTO lr_curve (trial, attempt, validation, epoch, step, lr, metrics, seconds)"
    " SELECT id, 1, 1, 1, 6, 0.1, '{}', 1 FROM lr_trial"
)
#: How a trial ended in ours: state, value, reason.
ENDS = [
    ("complete", 0.25, None),
    ("complete", None, None),
    ("pruned", 0.5, None),
    ("diverged", None, "loss"),
    ("failed", None, "oom"),
    ("failed", None, "ValueError"),
]


def at_revision(database, revision):
    """Our tables as an older version made them, beside Optuna's."""
    with database.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text(f"CREATE SCHEMA {schema.SCHEMA}"))
    database.set_wal()
    theirs = optuna_storage(database, create=True)
    with database.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return theirs


def test_trials_that_a_dying_worker_did_not_tell_end_as_they_ended_here(storage_url):
    with opened(storage_url) as database:
        theirs = at_revision(database, "003")
        study = optuna.create_study(study_name="old", storage=theirs)
        asked = [study.ask() for _ in range(len(ENDS) + 2)]
        asked[2].report(0.7, 2)
        asked[2].report(0.6, 4)
        with database.begin() as connection:
            connection.execute(text(LR_STUDY), {"study": study._study_id})
            for trial, (state, value, reason) in zip(
                asked, [*ENDS, ("running", None, None)], strict=False
            ):
                row = {"state": state, "value": value, "reason": reason}
                ids = {"study": study._study_id, "trial": trial._trial_id, "number": trial.number}
                connection.execute(text(LR_TRIAL), {**row, **ids})
        theirs.engine.dispose()
        assert prepare(database)
        found = optuna.load_study(study_name="old", storage=optuna_storage(database)).trials
        failed, running = (OptunaState.FAIL, None, [0.0]), (OptunaState.RUNNING, None, None)
        infeasible = (OptunaState.PRUNED, None, [2.0])
        assert [
            (trial.state, trial.value, trial.system_attrs.get("constraints")) for trial in found
        ] == [
            (OptunaState.COMPLETE, 0.25, [0.0]),
            failed,
            (OptunaState.PRUNED, 0.6, [0.0]),
            infeasible,
            infeasible,
            failed,
            running,
            (OptunaState.FAIL, None, None),  # no trial of ours
        ]
        assert found[0].datetime_complete.timestamp() == pytest.approx(86400.5)
        with database.read() as connection:
            assert gate.writer(connection).differing(study._study_id) == []
            assert engines.of_study(connection, study._study_id) == []


def test_workers_of_an_older_version_have_no_facts(storage_url):
    with opened(storage_url) as database:
        theirs = at_revision(database, "009")
        study = optuna.create_study(study_name="old", storage=theirs)._study_id
        with database.begin() as connection:
            connection.execute(text(LR_STUDY), {"study": study})
            connection.execute(
                text(
                    "INSERT INTO lr_worker (study_id, name, device, version, started_at, seen_at)"
                    " VALUES (:study, 'host:1:1', 'cpu', '1', 0, 0)"
                ),
                {"study": study},
            )
        theirs.engine.dispose()
        assert prepare(database)
        with database.read() as connection:
            assert [worker.facts for worker in workers.everyone(connection, study)] == [None]
            assert len(studies.by_id(connection, study).token) == 32


def test_what_refers_to_trials_stays_and_no_number_is_given_twice(storage_url):
    with opened(storage_url) as database:
        theirs = at_revision(database, "010")
        study = optuna.create_study(study_name="old", storage=theirs)
        ids = {"study": study._study_id, "trial": study.ask()._trial_id, "number": 0}
        with database.begin() as connection:
            connection.execute(text(LR_STUDY), ids)
            values = {"state": "complete", "value": 0.5, "reason": None}
            connection.execute(text(LR_TRIAL), {**ids, **values})
            connection.execute(text(LR_CURVE))
        theirs.engine.dispose()
        assert prepare(database)
        with database.begin() as connection:
            studies.change(connection, study._study_id, definition=tiny_spec().to_dict())
        old = OpenStudy.open(database, "old")
        with database.begin() as connection:
            [trial] = trials.everything(connection, old.study_id)
            assert [row.validation for row in curves.of_trial(connection, trial.id)] == [1]
            if database.is_sqlite:
                assert not connection.execute(text("PRAGMA foreign_key_check")).all()
                assert connection.scalar(text("PRAGMA foreign_keys")) == 1
            connection.execute(text("DELETE FROM lr_trial"))
            assert curves.of_trial(connection, trial.id) == []
            again = {**ids, "number": 1, **values}
            connection.execute(text(LR_TRIAL), again)
            [other] = trials.everything(connection, old.study_id)
            assert other.id > trial.id
        old.delete()
        new = make_study(database)
        assert new.study_id > old.study_id
