"""A study looked over: what was wrong in its rows is mended or named."""

import json

import pytest
from command import run_command
from sqlalchemy import delete, text, update
from tiny_studies import ask, curve_row, make_study, opened, work

from lrsearch.storage import (
    confirmations,
    consistency,
    curves,
    studies,
    trials,
    worker_identity,
)
from lrsearch.storage.postgresql import SERVER_SETTINGS
from lrsearch.storage.tables import curves as curve_table
from lrsearch.storage.tables import leases as lease_table
from lrsearch.storage.tables import studies as study_table
from lrsearch.storage.tables import trials as trial_table
from lrsearch.study import confirmation
from lrsearch.study.prepare_database import prepare
from lrsearch.study.repair import repair


@pytest.fixture
def finished(database):
    search = make_study(database, budget={"trials": 4})
    work(search)
    return search


def change(search, statement):
    with search.database.begin() as connection:
        connection.execute(statement)


def test_nothing_is_found_in_a_study_that_is_sound(finished):
    found = repair(finished)
    assert (found.done, found.wrong) == ([], [])


@pytest.mark.both_databases
def test_counters_that_are_off_are_recounted(finished):
    with finished.database.begin() as connection:
        before = studies.by_id(connection, finished.study_id)
        off = {"trials_used": 9, "epochs_used": 1.0, "epochs_reserved": 4.0}
        studies.change(connection, finished.study_id, **off)
    found = repair(finished)
    assert len(found.done) == 3
    assert "trials_used 9 is 4 now" in found.done
    with finished.database.read() as connection:
        after = studies.by_id(connection, finished.study_id)
    assert after.epochs_used == pytest.approx(before.epochs_used)
    assert (after.trials_used, after.epochs_reserved) == (4, 0)
    assert repair(finished).done == []


def test_epochs_of_confirmation_runs_that_were_planned_anew_stay_used(finished):
    with finished.database.read() as connection:
        before = studies.by_id(connection, finished.study_id).epochs_used
        spent = sum(r.epochs for r in confirmations.everything(connection, finished.study_id))
    assert spent > 0
    confirmation.request(finished, top=1, runs=1)
    assert repair(finished).done == []
    with finished.database.read() as connection:
        assert confirmations.everything(connection, finished.study_id) == []
        assert studies.by_id(connection, finished.study_id).epochs_used == before


def test_a_running_trial_keeps_its_reservation(database):
    search = make_study(database)
    ask(search)
    found = repair(search)
    assert (found.done, found.wrong) == ([], [])


def test_what_a_dead_worker_of_this_machine_held_is_freed(database):
    search = make_study(database)
    host = worker_identity.identity().rsplit(":", 2)[0]
    ask(search, f"{host}:999999999:1")
    (line,) = repair(search).done
    assert "trial 0" in line
    with search.database.read() as connection:
        assert studies.counts(connection, search.study_id)["running"] == 1


@pytest.mark.both_databases
def test_leases_of_what_has_ended_are_ended(finished):
    change(finished, update(lease_table).values(expires_at=1e12))
    (line,) = repair(finished).done
    assert line.startswith("ended ")


@pytest.mark.both_databases
def test_what_cannot_be_mended_is_named(finished):
    running = "UPDATE trials SET state = 'RUNNING' WHERE number = 1"
    change(finished, text(running))
    gap = delete(curve_table).where(curve_table.c.trial == 1, curve_table.c.validation == 1)
    change(finished, gap)
    change(finished, update(trial_table).where(trial_table.c.ticket == 3).values(ticket=7))
    found = repair(finished)
    assert found.done == []
    assert found.wrong == [
        "tickets missing before the last: 3, 5, 6",
        "trials whose end in Optuna differs from ours: 1",
        "trials whose curve has a gap: 0",
    ]


@pytest.mark.both_databases
def test_a_curve_without_a_recipe_is_named(finished):
    """As a failover may have left it that an older version went through."""
    change(finished, update(trial_table).where(trial_table.c.ticket == 3).values(recipe=None))
    assert repair(finished).wrong == ["trials with a curve and without a recipe: 2"]


def test_a_curve_that_ends_too_early_is_named(finished):
    """As a failover may have left it that an older version went through."""
    with finished.database.read() as connection:
        rows = trials.everything(connection, finished.study_id)
        whole = next(row for row in rows if row.state == "complete")
        last = max(row.validation for row in curves.of_trial(connection, whole.id))
    at_end = (curve_table.c.trial == whole.id, curve_table.c.validation == last)
    change(finished, delete(curve_table).where(*at_end))
    assert repair(finished).wrong == [f"trials whose curve ends too early: {whole.number}"]


@pytest.mark.both_databases
def test_rows_are_checked_while_workers_go_on(finished, monkeypatch):
    def gaps(connection, study_id):
        change(finished, update(study_table).values(steps_per_epoch=6))  # waits for who holds it
        return []

    monkeypatch.setattr(consistency, "gaps", gaps)
    finished.database.busy_seconds = 0.1
    monkeypatch.setitem(SERVER_SETTINGS, "lock_timeout", "100ms")
    finished.database.close()
    assert repair(finished).wrong == []


def test_a_gap_before_a_takeover_is_one_after_it_is_none(database):
    search = make_study(database)
    claim = ask(search).claim
    with database.begin() as connection:
        curves.add(connection, claim, [curve_row(1), curve_row(2)])
    change(search, update(trial_table).values(state="pruned", ended=1, attempt=2))
    found = repair(search)
    assert not any("gap" in line for line in found.wrong)


def test_the_command_says_what_it_did_and_fails_for_what_is_left(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    url = f"sqlite:///{tmp_path}/study.db"
    with opened(url) as database:
        prepare(database)
        search = make_study(database, budget={"trials": 2}, confirm="none")
        work(search)
        change(search, text("UPDATE lr_study SET trials_used = 5"))
        ended = run_command("study", "repair", "tiny", folder=folder, LRSEARCH_STORAGE=url)
        assert (ended.code, "trials_used 5 is 2 now" in ended.out) == (0, True)
        change(search, text("UPDATE trials SET state = 'FAIL'"))
        again = run_command(
            "study", "repair", "tiny", "--json", folder=folder, LRSEARCH_STORAGE=url
        )
    assert again.code == 1
    assert "differs from ours: 0, 1" in again.err
    assert json.loads(again.out)["done"] == []
