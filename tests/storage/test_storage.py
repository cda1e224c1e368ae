"""What `lrsearch.storage` promises its callers, on SQLite and on PostgreSQL."""

import json
import math
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from processes import finish, in_process, until
from sqlalchemy import MetaData, create_engine, delete, func, insert, inspect, select, text, update
from sqlalchemy.exc import IntegrityError
from tiny_studies import LEASE, ask, curve_row, ended, make_study, opened, work

from lrsearch.confirmation.runs import PlannedRun
from lrsearch.errors import StorageError
from lrsearch.report.summary import trial_rows
from lrsearch.storage import (
    claims,
    confirmations,
    curves,
    leases,
    range_tests,
    rung_counts,
    rungs,
    schema,
    studies,
    tickets,
    trials,
    worker_identity,
)
from lrsearch.storage.all_tables import metadata
from lrsearch.storage.column_types import db_now
from lrsearch.storage.database import Database, explained
from lrsearch.storage.ends import ConfirmationEnd, End, TrialEnd
from lrsearch.storage.leases import Claim
from lrsearch.storage.location import locate
from lrsearch.storage.range_tests import PlannedTest
from lrsearch.storage.records import CurveRecord, TrialRecord, fetch_as
from lrsearch.storage.rung_counts import Count
from lrsearch.storage.tables import curves as curve_table
from lrsearch.storage.tables import optuna_studies
from lrsearch.storage.tables import queue as queue_table
from lrsearch.storage.tables import rung_counts as count_table
from lrsearch.storage.tables import rungs as rung_table
from lrsearch.storage.tables import trials as trial_table
from lrsearch.study.optuna import gate
from lrsearch.study.optuna.storage import optuna_storage
from lrsearch.study.prepare_database import open_database, prepare
from lrsearch.trial.pruning import places, survives
from lrsearch.trial.states import StudyState, TrialState

HORIZON = 4.0
RUNNING = TrialState.RUNNING.value
OURS = ("lr_study", "lr_trial", "lr_curve", "lr_rung", "lr_queue", "lr_confirm", "lr_range_test")
OURS += (
    "lr_rung_count",
    "lr_lease",
    "lr_worker",
    "lr_checkpoint",
    "lr_event",
    "lr_engine",
    "lr_study_id",
    "lr_project",
    "lr_action",
)
OLD, NEW = "host:1:1", "host:2:2"


@pytest.fixture
def study(database):
    """The id of a study with nothing asked of it yet."""
    return insert_study(database)


def insert_study(database, name="tiny", budget=None):
    """A study's rows without Optuna's help, which takes longer than most of these tests."""
    budget = budget or {"trials": 12}
    with database.begin() as connection:
        theirs = insert(optuna_studies).values(study_name=name).returning(optuna_studies.c.study_id)
        study = connection.execute(theirs).scalar_one()
        values = {
            "study_id": study,
            "name": name,
            "definition": {},
            "spec_hash": "",
            "code": {},
            "versions": {},
            "steps_per_epoch": 6,
            "trials_total": budget.get("trials"),
            "epochs_total": budget.get("total_epochs"),
            "seconds_total": budget.get("time"),
        }
        studies.create(connection, values)
    return study


def claim(database, study, worker=OLD, *, keep=0.0):
    with database.begin() as connection:
        return trials.start(connection, study, worker, LEASE, horizon=HORIZON, keep=keep)


def start(database, study, worker=OLD, *, keep=0.0):
    """A trial with a recipe; None if none may start."""
    row = claim(database, study, worker, keep=keep)
    if row is None:
        return None
    with database.begin() as connection:
        assert trials.link(connection, claim_of(row), row.recipe or {}, f"of {row.id}")
    return trial_row(database, row)


def claim_of(row):
    return Claim(id=row.id, attempt=row.attempt, worker=row.worker)


def end(database, row, state=TrialState.COMPLETE, **values):
    fields = {"epochs": HORIZON, "seconds": 1.0, "value": 1.0}
    how = TrialEnd(state=state, **{**fields, **values})
    with database.begin() as connection:
        return trials.record(connection, claim_of(row), how, horizon=HORIZON)


def hand_over(database, study, row):
    """Let the worker NEW take a running trial over; the row as it then is."""
    with database.begin() as connection:
        assert claims.release(connection, claim_of(row))
        return trials.take_over(connection, study, NEW, LEASE)


def study_row(database, study):
    with database.read() as connection:
        return studies.by_id(connection, study)


def trial_row(database, row):
    with database.read() as connection:
        query = select(trial_table).where(trial_table.c.id == row.id)
        return fetch_as(connection, query, TrialRecord)[0]


def change(database, study, **values):
    with database.begin() as connection:
        studies.change(connection, study, **values)


# Tickets and the budget


def take_all_tickets(url, study):
    with opened(url) as database:
        while start(database, study, worker_identity.identity()) is not None:
            pass


def test_eight_processes_take_exactly_the_budgets_tickets(database, prepared_url):
    study = insert_study(database, budget={"trials": 60})
    processes = [in_process(take_all_tickets, prepared_url, study) for _ in range(8)]
    assert finish(*processes) == [0] * 8
    with database.read() as connection:
        rows = trials.everything(connection, study)
    assert [row.ticket for row in rows] == list(range(1, 61))
    assert study_row(database, study).trials_used == 60


def test_eight_threads_take_exactly_the_budgets_tickets(database, study):
    with ThreadPoolExecutor(8) as threads:
        rows = list(threads.map(lambda i: start(database, study, f"w{i}"), range(40)))
    tickets = [row.ticket for row in rows if row is not None]
    assert sorted(tickets) == list(range(1, 13))


def test_eight_threads_take_no_trial_over_twice(database, study):
    first = [start(database, study) for _ in range(12)]
    with database.begin() as connection:
        assert leases.release(connection, study, [OLD]) == 12

    def take(index):
        with database.begin() as connection:
            return trials.take_over(connection, study, f"w{index}", LEASE)

    with ThreadPoolExecutor(8) as threads:
        taken = [row for row in threads.map(take, range(24)) if row is not None]
    assert sorted(row.id for row in taken) == [row.id for row in first]
    assert {row.attempt for row in taken} == {2}


def test_a_new_trial_is_running_in_its_workers_hands(database, study):
    row = claim(database, study)
    assert row.ticket == 1
    assert (row.state, row.worker, row.attempt) == (RUNNING, OLD, 1)
    assert (row.kind, row.recipe, row.trial_id, row.number) == ("sampled",) + (None,) * 3
    assert row == trial_row(database, row)


def test_a_ticket_is_gone_only_with_its_trial(database, study):
    """They are one transaction: whoever dies before its end has taken nothing."""

    def die():
        with database.begin() as connection:
            trials.start(connection, study, OLD, LEASE, horizon=HORIZON, keep=0.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        die()
    assert study_row(database, study).trials_used == 0
    assert study_row(database, study).first_ask_at is None
    assert start(database, study).ticket == 1


@pytest.mark.parametrize("state", [StudyState.PAUSED, StudyState.STOPPED])
def test_a_paused_or_stopped_study_starts_no_trial(database, study, state):
    with database.begin() as connection:
        studies.set_state(connection, study, state)
    assert start(database, study) is None
    with database.begin() as connection:
        studies.set_state(connection, study, StudyState.OPEN)
    assert start(database, study).ticket == 1


def test_a_study_without_a_total_of_trials_goes_on(database):
    study = insert_study(database, budget={"total_epochs": 1000})
    assert [start(database, study).ticket for _ in range(20)] == list(range(1, 21))


def test_total_epochs_are_never_exceeded_whatever_ends_when(database):
    study = insert_study(database, budget={"total_epochs": 100})
    chance, running, ended_trials = random.Random(0), [], 0
    while True:
        row = start(database, study, keep=0.25)
        running += [] if row is None else [row]
        now = study_row(database, study)
        assert now.epochs_reserved == HORIZON * len(running)
        assert now.epochs_used + now.epochs_reserved <= 75
        if row is None and not running:
            break
        if row is None or chance.random() < 0.4:
            assert end(
                database,
                running.pop(),
                TrialState.PRUNED,
                epochs=chance.choice([0.5, 1.0, HORIZON]),
            )
            ended_trials += 1
    assert 75 - HORIZON < now.epochs_used <= 75  # and all of it was used
    assert ended_trials > 75 / HORIZON  # the unused part of pruned trials came back


def test_eight_threads_reserve_no_more_epochs_than_there_are(database):
    study = insert_study(database, budget={"total_epochs": 42})
    with ThreadPoolExecutor(8) as threads:
        rows = list(threads.map(lambda i: start(database, study, f"w{i}"), range(24)))
    assert sum(row is not None for row in rows) == 10
    assert study_row(database, study).epochs_reserved == 40


def test_no_trial_starts_after_the_time(database):
    study = insert_study(database, budget={"time": 3600})
    assert start(database, study).ticket == 1
    first = study_row(database, study).first_ask_at
    assert start(database, study).ticket == 2
    assert study_row(database, study).first_ask_at == first
    change(database, study, first_ask_at=first - 3600)
    assert start(database, study) is None
    with database.read() as connection:
        assert not tickets.may_start(connection, study, horizon=HORIZON, keep=0.0)
        assert studies.elapsed(connection, study) >= 3600


def test_the_clock_of_a_study_starts_with_its_first_trial(database):
    study = insert_study(database, budget={"time": 5})
    change(database, study, created_at=0.0)
    with database.read() as connection:
        assert studies.elapsed(connection, study) == 0
    assert start(database, study) is not None


@pytest.mark.parametrize(
    "budget", [{"trials": 3}, {"total_epochs": 14}, {"trials": 9, "total_epochs": 14}]
)
def test_may_start_says_what_start_does(database, budget):
    study = insert_study(database, budget=budget)
    for _ in range(5):
        with database.read() as connection:
            expected = tickets.may_start(connection, study, horizon=HORIZON, keep=0.0)
        assert (start(database, study) is not None) == expected
    assert study_row(database, study).trials_used == 3


def test_times_are_the_databases(database, study, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1e9)
    row = start(database, study)
    assert end(database, row)
    ended_at = trial_row(database, row).ended_at
    with database.read() as connection:
        now = connection.execute(select(db_now())).scalar_one()
        if database.is_sqlite:
            other = connection.execute(text("SELECT strftime('%s', 'now')")).scalar_one()
        else:
            other = connection.execute(text("SELECT extract(epoch FROM now())")).scalar_one()
    assert float(other) - 60 < row.started_at <= ended_at <= now < float(other) + 60
    assert now > 1.7e9


def test_sessions_are_in_utc_wherever_the_worker_is(postgres, monkeypatch):
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    with opened(postgres.url("postgres")) as database:
        optunas = create_engine(database.optuna_url, **database.engine_kwargs)
        for engine in (database.engine, optunas):
            with engine.connect() as connection:
                assert connection.execute(text("SHOW timezone")).scalar_one() == "UTC"
        optunas.dispose()


@pytest.mark.parametrize("zones", [("Asia/Tokyo", "UTC"), ("UTC", "America/Los_Angeles")])
def test_a_lease_lasts_as_long_wherever_its_worker_is(
    postgres, study, database, monkeypatch, zones
):
    url = database.location.url
    if database.is_sqlite:
        pytest.skip("an SQLite file has no sessions")
    mine, theirs = zones
    monkeypatch.setenv("PGTZ", mine)
    monkeypatch.setenv("TZ", mine)
    time.tzset()
    with opened(url) as here:
        rows = [start(here, study, worker=f"w{seconds}") for seconds in (-1, 600)]
        with here.begin() as connection:
            for row, seconds in zip(rows, (-1, 600), strict=True):
                leases.renew(connection, [claim_of(row)], seconds)
    monkeypatch.setenv("PGTZ", theirs)
    monkeypatch.setenv("TZ", theirs)
    time.tzset()
    with opened(url) as there, there.begin() as connection:
        assert [freed.worker for freed in leases.reap(connection, study, 0.0)] == ["w-1"]
    monkeypatch.undo()
    time.tzset()


# Enqueued recipes


def test_a_baseline_comes_first_then_recipes_in_their_order_then_the_portfolio(database, study):
    kinds = ["portfolio", "textbook", "enqueued", "enqueued", "baseline"]  # the second is older
    with database.begin() as connection:
        for lr, kind in enumerate(kinds):
            studies.enqueue(connection, study, kind, {"optimizer": {"name": "sgd", "lr": lr}})
        assert studies.queued(connection, study) == 5
    rows = [claim(database, study) for _ in range(6)]
    given = [(row.kind, row.recipe and row.recipe["optimizer"]["lr"]) for row in rows]
    own = [("baseline", 4), ("enqueued", 2), ("enqueued", 3)]
    assert given == [*own, ("portfolio", 0), ("textbook", 1), ("sampled", None)]
    with database.read() as connection:
        assert studies.queued(connection, study) == 0
        taken = connection.execute(select(queue_table.c.ticket).order_by(queue_table.c.id))
        assert list(taken.scalars()) == [4, 5, 2, 3, 1]
        assert trials.baseline(connection, study).ticket == 1


def test_each_enqueued_recipe_is_taken_once_by_eight_threads(database, study):
    with database.begin() as connection:
        for i in range(8):
            studies.enqueue(connection, study, "enqueued", {"lr": i})
    with ThreadPoolExecutor(8) as threads:
        rows = list(threads.map(lambda i: start(database, study, f"w{i}"), range(8)))
    assert sorted(row.recipe["lr"] for row in rows) == list(range(8))


def test_what_is_enqueued_in_one_study_stays_there(database, study):
    other = insert_study(database, name="other")
    with database.begin() as connection:
        studies.enqueue(connection, other, "enqueued", {"lr": 1})
    assert start(database, study).kind == "sampled"
    assert start(database, other).kind == "enqueued"


# Takeover and fencing


def test_a_takeover_keeps_the_ticket_and_raises_the_attempt(database, study):
    rows = [start(database, study) for _ in range(3)]
    with database.begin() as connection:
        assert (
            trials.take_over(connection, study, NEW, LEASE) is None
        )  # all are in somebody's hands
        assert claims.release(connection, claim_of(rows[2]))
        assert claims.release(connection, claim_of(rows[1]))
        taken = trials.take_over(connection, study, NEW, LEASE)
    changes = {"attempt": 2, "worker": NEW}
    assert taken == replace(rows[1], **changes)  # the oldest first
    assert trial_row(database, rows[2]) == replace(rows[2], worker=None)
    assert study_row(database, study).trials_used == 3


def test_only_the_trials_of_dead_workers_are_released(database, study):
    rows = [start(database, study, worker) for worker in ("a", "b", "c", "a")]
    end(database, rows[3])
    other = insert_study(database, name="other")
    elsewhere = start(database, other, "a")
    with database.begin() as connection:
        assert sorted(leases.holders(connection, study)) == ["a", "b", "c"]
        assert leases.release(connection, study, ["a", "c"]) == 2
        assert leases.holders(connection, study) == ["b"]
    assert trial_row(database, elsewhere).worker == "a"
    assert trial_row(database, rows[3]).worker == "a"  # an ended one keeps who ended it


def test_a_worker_that_lost_its_trial_writes_nothing(database, study):
    stale = start(database, study)
    kept = hand_over(database, study, stale)
    before = trial_row(database, kept), study_row(database, study)
    with database.begin() as connection:
        lost = claim_of(stale)
        assert not trials.attach(connection, lost, trial_id=1, number=7)
        assert not trials.link(connection, lost, {"lr": 1})
        assert not claims.release(connection, lost)
        assert rungs.visit(connection, lost, 0) is None
        late = End(state=TrialState.FAILED, epochs=1.0, seconds=1.0, reason="late")
        assert not trials.record(connection, lost, late, horizon=HORIZON)
    assert (trial_row(database, kept), study_row(database, study)) == before
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(rung_table)).scalar_one() == 0
    assert end(database, kept)


def test_a_claim_needs_the_worker_and_the_attempt(database, study):
    row = start(database, study)
    wrong = [
        Claim(id=row.id, attempt=1, worker=NEW),
        Claim(id=row.id, attempt=2, worker=OLD),
    ]
    with database.begin() as connection:
        assert [claims.release(connection, claim) for claim in wrong] == [False, False]
    assert trial_row(database, row).worker == OLD


def test_a_trial_ends_once(database, study):
    row = start(database, study)
    assert end(database, row, value=0.25, metrics={"mae": 1.0}, best_validation=3)
    after = trial_row(database, row), study_row(database, study)
    assert not end(database, row, TrialState.FAILED, value=None)
    with database.begin() as connection:
        assert not claims.release(connection, claim_of(row))
        assert leases.release(connection, study, [OLD]) == 0
        assert trials.take_over(connection, study, NEW, LEASE) is None
    assert (trial_row(database, row), study_row(database, study)) == after
    assert (after[0].state, after[0].value, after[0].metrics) == (
        "complete",
        0.25,
        {"mae": 1.0},
    )
    assert (after[1].epochs_used, after[1].epochs_reserved) == (HORIZON, 0)


def test_eight_threads_that_end_a_trial_are_one(database, study):
    row = start(database, study)
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda i: end(database, row, value=float(i)), range(8)))
    assert sum(won) == 1
    assert trial_row(database, row).value == won.index(True)
    assert study_row(database, study).epochs_used == HORIZON


def test_a_link_records_optunas_trial_and_the_recipe(database, study):
    row = start(database, study)
    with database.begin() as connection:
        trial_id, number = gate.writer(connection).start_trial(study, row.ticket)
        assert trials.attach(connection, claim_of(row), trial_id=trial_id, number=number)
        assert trials.link(connection, claim_of(row), {"optimizer": {"lr": 1}})
    with database.read() as connection:
        found = trials.by_number(connection, study, 0)
        assert trials.by_number(connection, study, 1) is None
        assert trials.recipes(connection, study, [0, 1]) == {0: found.recipe}
    assert (found.id, found.trial_id) == (row.id, trial_id)
    assert found.recipe == {"optimizer": {"lr": 1}}


def test_ends_are_numbered_in_their_order(database, study):
    rows = [start(database, study) for _ in range(4)]
    for row in (rows[2], rows[0], rows[3]):
        assert end(database, row)
    assert not end(database, rows[0])
    assert [trial_row(database, row).ended for row in rows] == [2, None, 1, 3]
    assert study_row(database, study).trials_ended == 3


def test_ends_of_eight_threads_have_numbers_without_gaps(database, study):
    rows = [start(database, study) for _ in range(12)]
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda row: end(database, row), rows))
    places = sorted(trial_row(database, row).ended for row in rows)
    assert places == list(range(1, 13))


# Rungs


def leave_mark(connection, row, value, rung=0):
    """Mark a rung as a held trial that gets there; the visit, what is recorded and the count."""
    visit = rungs.visit(connection, claim_of(row), rung)
    signal = value if math.isfinite(value) else math.inf
    return visit, signal, rungs.mark(connection, visit, signal)


def peers(connection, study, trial, rung):
    """The other finite marks at a rung, and how many are better than the trial's: all are read."""
    c = rung_table.c
    query = select(c.trial, c.value).where(c.study_id == study, c.rung == rung)
    values = dict(tuple(row) for row in connection.execute(query))
    own = values.pop(trial)
    others = [value for value in values.values() if math.isfinite(value)]
    return len(others), sum(value < own for value in others)


def marked(connection, study, row, value, rung=0):
    """The trial's peers at a rung that it has just marked; what is counted agrees with them."""
    visit, signal, count = leave_mark(connection, row, value, rung)
    others, better = peers(connection, study, row.id, rung)
    assert count.marks == others + math.isfinite(signal)
    for place in range(1, others + 3):
        assert rungs.is_among_best(connection, visit, count, signal, place) == (better < place)
        count = kept_count(connection, study, rung)
    return others, better


def kept_count(connection, study, rung):
    c = count_table.c
    query = select(c.marks, c.cut_value, c.cut_trial, c.below).where(
        c.study_id == study, c.rung == rung
    )
    return Count(**connection.execute(query).mappings().one())


def test_a_decision_by_the_cut_is_that_of_all_marks(database, study):
    """Ties, marks that change, some that are not finite, and a cut that lags behind."""
    chance = random.Random(0)
    rows = [start(database, study) for _ in range(12)]
    with database.begin() as connection:
        for turn in range(60):
            row = rows[turn] if turn < len(rows) else chance.choice(rows)
            value = chance.choice([*range(6), math.inf, chance.random()])
            visit, signal, count = leave_mark(connection, row, value)
            others, better = peers(connection, study, row.id, 0)
            if turn % 3:
                place = places(others + 1, eta=3.0, min_peers=1)
                found = rungs.is_among_best(connection, visit, count, signal, place)
                assert found == survives(better=better, others=others, eta=3.0, min_peers=1)
        assert rung_counts.recount(connection, study) == []


def test_marks_of_eight_threads_are_all_counted(database, study):
    rows = [start(database, study) for _ in range(12)]

    def mark(row):
        with database.begin() as connection:
            visit, signal, count = leave_mark(connection, row, float(row.ticket % 5))
            rungs.is_among_best(connection, visit, count, signal, max(1, count.marks // 3))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(mark, rows))
    with database.begin() as connection:
        assert kept_count(connection, study, 0).marks == 12
        assert rung_counts.recount(connection, study) == []


def test_marks_of_an_earlier_version_are_counted_at_the_next(database, study):
    rows = [start(database, study) for _ in range(4)]
    with database.begin() as connection:
        for row in rows[:3]:
            leave_mark(connection, row, float(row.ticket))
        connection.execute(delete(count_table))
        assert marked(connection, study, rows[3], 2.5) == (3, 2)


def test_a_wrong_count_is_mended(database, study):
    rows = [start(database, study) for _ in range(3)]
    with database.begin() as connection:
        for row in rows:
            marked(connection, study, row, float(row.ticket))
        connection.execute(update(count_table).values(marks=7, below=2))
        assert rung_counts.recount(connection, study) == [0]
        assert marked(connection, study, rows[0], 1.5) == (2, 0)


def test_a_rung_has_one_signal_of_each_trial_however_often_it_is_marked(database, study):
    rows = [start(database, study) for _ in range(3)]

    def mark(row, value, rung=0):
        with database.begin() as connection:
            return marked(connection, study, row, value, rung)

    assert mark(rows[0], 3.0) == (0, 0)
    assert mark(rows[1], 1.0) == (1, 0)
    assert mark(rows[1], 1.0) == (1, 0)
    assert mark(rows[2], 2.0) == (2, 1)
    assert mark(rows[2], 1.0) == (2, 0)  # an equal one is not better
    assert mark(rows[0], 0.5) == (2, 0)
    assert mark(rows[0], 9.0, rung=1) == (0, 0)
    with database.read() as connection:
        query = select(rung_table.c.rung, rung_table.c.value).order_by(rung_table.c.value)
        marks = [tuple(row) for row in connection.execute(query)]
    assert marks == [(0, 0.5), (0, 1.0), (0, 1.0), (1, 9.0)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_signal_that_is_not_finite_is_the_worst_and_no_peer(database, study, value):
    rows = [start(database, study) for _ in range(3)]
    with database.begin() as connection:
        leave_mark(connection, rows[0], 1e308)
        assert marked(connection, study, rows[1], value) == (1, 1)
        assert marked(connection, study, rows[2], 2.0) == (1, 0)


def test_a_trial_taken_over_marks_its_rung_anew(database, study):
    stale = start(database, study)
    with database.begin() as connection:
        leave_mark(connection, stale, 3.0)
    taken = hand_over(database, study, stale)
    with database.begin() as connection:
        assert marked(connection, study, taken, 2.0) == (0, 0)
    with database.read() as connection:
        assert list(connection.execute(select(rung_table.c.value)).scalars()) == [2.0]


def test_the_rungs_of_another_study_do_not_count(database, study):
    other = insert_study(database, name="other")
    for place in (study, other):
        row = start(database, place)
        with database.begin() as connection:
            assert marked(connection, place, row, 1.0) == (0, 0)


def test_a_study_has_the_marks_of_its_own_trials_by_trial_and_rung(database, study):
    other = insert_study(database, name="other")
    rows = [start(database, study) for _ in range(2)]
    strange = start(database, other)
    with database.begin() as connection:
        marked(connection, other, strange, 9.0)
        for row, rung, value in ((rows[1], 0, math.inf), (rows[0], 1, 2.0), (rows[0], 0, 3.0)):
            marked(connection, study, row, value, rung)
    with database.read() as connection:
        found = rungs.of_study(connection, study)
    assert found == [(rows[0].id, 0, 3.0), (rows[0].id, 1, 2.0), (rows[1].id, 0, math.inf)]


# Curves

MAY_BE_INFINITE = ("train_loss", "val_loss", "val_loss_ema", "grad_norm")


def add_rows(database, row, validations, **changes):
    rows = [curve_row(number, **changes) for number in validations]
    with database.begin() as connection:
        return curves.add(connection, claim_of(row), rows)


def curve(database, row):
    with database.read() as connection:
        found = curves.of_trial(connection, row.id)
    return [(r.attempt, r.validation) for r in found]


def test_a_curve_comes_back_as_it_was_written(database, study):
    row = start(database, study)
    written = [curve_row(number, val_loss_ema=0.1 + number) for number in (1, 2, 3)]
    with database.begin() as connection:
        curves.add(connection, claim_of(row), written[:2])
        curves.add(connection, claim_of(row), [])
        curves.add(connection, claim_of(row), written[2:])
    with database.read() as connection:
        found = curves.of_trial(connection, row.id)
    assert found == [CurveRecord(**vars(r), trial=row.id, attempt=1) for r in written]


def test_a_resumed_attempt_goes_on_with_the_rows_before_its_checkpoint(database, study):
    first = start(database, study)
    add_rows(database, first, [1, 2, 3])
    second = hand_over(database, study, first)
    add_rows(database, second, [4, 5])
    assert curve(database, first) == [(1, 1), (1, 2), (1, 3), (2, 4), (2, 5)]


def test_what_an_attempt_saw_beyond_the_checkpoint_is_replaced(database, study):
    first = start(database, study)
    add_rows(database, first, [1, 2, 3, 4, 5])
    second = hand_over(database, study, first)
    add_rows(database, second, [3, 4])
    assert curve(database, first) == [(1, 1), (1, 2), (2, 3), (2, 4)]


def test_an_attempt_that_starts_anew_forgets_the_one_before(database, study):
    first = start(database, study)
    add_rows(database, first, [1, 2, 3])
    second = hand_over(database, study, first)
    add_rows(database, second, [1])
    assert curve(database, first) == [(2, 1)]


def test_a_worker_that_lost_its_trial_writes_no_rows(database, study):
    first = start(database, study)
    assert add_rows(database, first, [1, 2])
    second = hand_over(database, study, first)
    assert add_rows(database, second, [3])
    for lost in (first, replace(second, worker=OLD), replace(first, attempt=second.attempt)):
        assert not add_rows(database, lost, [3, 4, 5])
    assert end(database, second)
    assert not add_rows(database, second, [4])
    with database.read() as connection:
        everything = curves.of_study(connection, study, all_attempts=True)
    assert [(r.attempt, r.validation) for r in everything] == [(1, 1), (1, 2), (2, 3)]


def test_losses_and_metrics_that_are_not_finite_are_null(database, study):
    row = start(database, study)
    bad = [math.nan, math.inf, -math.inf]
    for number, value in enumerate(bad, start=1):
        fields = dict.fromkeys(MAY_BE_INFINITE, value)
        add_rows(database, row, [number], **fields, metrics={"mae": value, "accuracy": 0.5})
    with database.read() as connection:
        found = curves.of_trial(connection, row.id)
        empty = select(func.count()).where(curve_table.c.val_loss.is_(None))
        assert connection.execute(empty).scalar_one() == 3
    assert len(found) == 3
    for r in found:
        assert [getattr(r, name) for name in MAY_BE_INFINITE] == [None] * 4
        assert r.metrics == {"mae": None, "accuracy": 0.5}
        json.dumps(vars(r), allow_nan=False)


def test_extreme_but_finite_losses_are_exact(database, study):
    row = start(database, study)
    values = [1e308, 5e-324, -0.1, 1 / 3]
    for number, value in enumerate(values, start=1):
        add_rows(database, row, [number], val_loss=value, lr=value)
    with database.read() as connection:
        found = curves.of_trial(connection, row.id)
    assert [r.val_loss for r in found] == [r.lr for r in found] == values


def test_curves_of_a_study_carry_the_trials_numbers(database):
    search, other = make_study(database), make_study(database, name="other")
    for owner, number in ((search, 0), (search, 1), (other, 0)):
        assignment = ask(owner)
        assert assignment.number == number
        with database.begin() as connection:
            curves.add(connection, assignment.claim, [curve_row(1), curve_row(2)])
    with database.read() as connection:
        rows = curves.of_study(connection, search.study_id)
        one = curves.of_study(connection, search.study_id, number=1)
        none = curves.of_study(connection, search.study_id, number=2)
    assert [(r.number, r.validation) for r in rows] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert [(r.number, r.validation) for r in one] == [(1, 1), (1, 2)]
    assert none == []


def test_a_validation_is_written_once(database, study):
    row = start(database, study)
    assert add_rows(database, row, [1, 2])
    assert add_rows(database, row, [1, 2, 3], val_loss=9.0)
    with database.read() as connection:
        found = curves.of_trial(connection, row.id)
    assert [(r.validation, r.val_loss) for r in found] == [(1, 2.0), (2, 1.0), (3, 9.0)]


# Studies


def test_a_study_is_found_by_name_and_by_id(database, study):
    insert_study(database, "other")
    with database.read() as connection:
        assert studies.by_name(connection, "tiny") == studies.by_id(connection, study)
        names = [row.name for row in studies.everything(connection)]
        assert studies.by_name(connection, "none") is None
        assert studies.by_id(connection, 99) is None
    assert names == ["tiny", "other"]  # oldest first


def test_a_study_of_optunas_own_is_none_of_ours(database):
    optuna.create_study(study_name="theirs", storage=optuna_storage(database))
    with database.read() as connection:
        assert studies.by_name(connection, "theirs") is None
        assert studies.everything(connection) == []


def test_every_state_has_a_count(database, study):
    for state in ("complete", "complete", "pruned", "diverged"):
        end(database, start(database, study), TrialState(state))
    start(database, study)
    with database.read() as connection:
        counts = studies.counts(connection, study)
    ends = {"complete": 2, "pruned": 1, "diverged": 1, "failed": 0}
    assert counts == {**ends, "running": 1, "waiting": 0}


def test_cost_is_summed_over_search_and_confirmation(database, study):
    for epochs in (4.0, 1.5):
        end(database, start(database, study), epochs=epochs, seconds=10 * epochs)
    start(database, study)
    runs = confirmation_runs(database, study, 2)
    end_run(database, claim_run(database, study), epochs=2.0, seconds=3.0)
    with database.read() as connection:
        epochs, seconds = studies.epochs(connection, study), studies.seconds(connection, study)
    assert len(runs) == 2
    assert epochs == {"range_test": 0.0, "search": 5.5, "audit": 0.0, "confirm": 2.0}
    assert seconds == {"range_test": 0.0, "search": 55.0, "audit": 0.0, "confirm": 3.0}
    assert study_row(database, study).epochs_used == 7.5


def test_the_best_trials_are_ranked_and_equals_by_ticket(database, study):
    rows = [start(database, study) for _ in range(6)]
    values = [0.5, 0.2, 0.5, None, 0.9, 0.1]
    states = ["complete"] * 5 + ["pruned"]
    for row, value, state in zip(rows, values, states, strict=True):
        end(database, row, TrialState(state), value=value)
    with database.read() as connection:
        low = trials.ranked(connection, study, minimize=True, limit=3)
        high = trials.ranked(connection, study, minimize=False, limit=9)
    assert [row.ticket for row in low] == [2, 1, 3]
    assert [row.ticket for row in high] == [5, 1, 3, 2]


def contents(database):
    """Row counts of all tables that hold studies, ours and Optuna's.

    Used numbers stay used; who did what, and the account of a project, outlive a study.
    """
    with database.read() as connection:
        names = set(inspect(connection).get_table_names())
        names -= {"alembic_version", "lr_alembic_version", "version_info", "lr_study_id"}
        names -= {"lr_action", "lr_project"}
        return {
            name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()
            for name in sorted(names)
        }


@pytest.fixture
def worked(database):
    """A study worked to its end, and what the database held before it was there."""
    other = make_study(database, name="other", budget={"trials": 1})
    other.tell(ask(other), ended(TrialState.FAILED))
    before = contents(database)
    baseline = {"optimizer": {"name": "sgd", "lr": 0.1}}
    search = make_study(database, budget={"trials": 8}, baseline=baseline)
    test = PlannedTest(optimizer="adamw", seeds=1, epochs_reserved=20.0)
    with database.begin() as connection:
        range_tests.add(connection, search.study_id, [test])
    work(search)
    grown = contents(database)
    assert all(grown[name] > before[name] for name in OURS[:8])
    return search, before


def test_a_study_deleted_through_optuna_leaves_no_row_of_ours(database, worked):
    search, before = worked
    optuna.delete_study(study_name=search.name, storage=optuna_storage(database))
    assert contents(database) == before


def test_a_deleted_study_leaves_no_row_of_optunas(database, worked):
    search, before = worked
    search.delete()
    assert contents(database) == before


# Confirmation runs


def confirmation_runs(database, study, count):
    runs = [
        PlannedRun(round="choose", role="candidate", number=i % 2, seed=1 + i // 2)
        for i in range(count)
    ]
    with database.begin() as connection:
        confirmations.add(connection, study, runs)
        return confirmations.everything(connection, study)


def claim_run(database, study, worker=OLD):
    with database.begin() as connection:
        return confirmations.claim(connection, study, worker, LEASE)


def end_run(database, run, **values):
    fields = {"state": TrialState.COMPLETE, "value": 1.0, "epochs": HORIZON, "seconds": 1.0}
    with database.begin() as connection:
        return confirmations.record(connection, run, ConfirmationEnd(**{**fields, **values}))


def test_planned_runs_wait_in_their_order(database, study):
    runs = confirmation_runs(database, study, 4)
    assert [(run.seed, run.number) for run in runs] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert {(run.state, run.attempt, run.worker) for run in runs} == {("waiting", 0, None)}
    claimed = claim_run(database, study)
    assert claimed == replace(runs[0], state=RUNNING, attempt=1, worker=OLD)
    with database.read() as connection:
        assert confirmations.workers(connection, study) == [OLD]


def test_eight_threads_claim_each_run_once(database, study):
    runs = confirmation_runs(database, study, 10)
    with ThreadPoolExecutor(8) as threads:
        claimed = list(threads.map(lambda i: claim_run(database, study, f"w{i}"), range(20)))
    ids = [run.id for run in claimed if run is not None]
    assert sorted(ids) == [run.id for run in runs]


def test_a_run_is_planned_once(database, study):
    confirmation_runs(database, study, 2)
    with pytest.raises(IntegrityError):
        confirmation_runs(database, study, 2)


def test_a_released_run_is_claimed_again_and_fences_the_first(database, study):
    confirmation_runs(database, study, 1)
    stale = claim_run(database, study)
    assert claim_run(database, study, NEW) is None
    with database.begin() as connection:
        assert leases.release(connection, study, ["nobody"]) == 0
        assert leases.release(connection, study, [OLD]) == 1
    taken = claim_run(database, study, NEW)
    assert (taken.id, taken.attempt) == (stale.id, 2)
    assert not end_run(database, stale, value=9.0)
    assert study_row(database, study).epochs_used == 0
    assert end_run(database, taken, value=0.5)
    assert not end_run(database, taken, value=0.7)
    with database.read() as connection:
        (run,) = confirmations.everything(connection, study)
    assert (run.state, run.value) == ("complete", 0.5)
    assert study_row(database, study).epochs_used == HORIZON


def test_a_cleared_confirmation_leaves_other_studies_alone(database, study):
    other = insert_study(database, name="other")
    for owner in (study, other):
        confirmation_runs(database, owner, 3)
    with database.begin() as connection:
        confirmations.clear(connection, study)
        assert confirmations.everything(connection, study) == []
        assert len(confirmations.everything(connection, other)) == 3
    assert claim_run(database, study) is None


# Who a worker is


def identify(path):
    Path(path).write_text(worker_identity.identity())


def sleep_and_identify(path):
    Path(f"{path}.part").write_text(worker_identity.identity())
    Path(f"{path}.part").replace(path)
    time.sleep(600)


def test_a_worker_is_dead_once_its_process_is_gone(tmp_path):
    path = tmp_path / "name"
    process = in_process(sleep_and_identify, path)
    until(path.exists)
    name = path.read_text()
    assert not worker_identity.is_dead(name)
    process.kill()
    finish(process)
    assert worker_identity.is_dead(name)
    assert not worker_identity.is_dead(worker_identity.identity())


def test_a_later_process_with_the_same_id_is_somebody_else():
    host, pid, started = worker_identity.identity().rsplit(":", 2)
    assert int(pid) == os.getpid()
    assert worker_identity.is_dead(f"{host}:{pid}:{int(started) - 1}")


def test_a_worker_of_another_machine_is_never_said_to_be_dead():
    assert not worker_identity.is_dead("elsewhere/4026531836:4194300:17")


def test_two_processes_have_two_names(tmp_path):
    names = set()
    for index in range(2):
        finish(in_process(identify, tmp_path / str(index)))
        names.add((tmp_path / str(index)).read_text())
    assert len(names) == 2


# Units of work


def test_a_unit_of_work_is_all_or_nothing(database, study):
    def die():
        with database.begin() as connection:
            studies.change(connection, study, trials_used=5)
            studies.enqueue(connection, study, "enqueued", {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        die()
    assert study_row(database, study).trials_used == 0
    with database.read() as connection:
        assert studies.queued(connection, study) == 0


def test_a_reader_sees_one_moment_and_holds_up_no_writer(database, study):
    with database.read() as connection:
        assert studies.by_id(connection, study).trials_used == 0
        assert start(database, study).ticket == 1  # in another connection, at once
        assert studies.by_id(connection, study).trials_used == 0
        assert studies.counts(connection, study)[RUNNING] == 0
    assert study_row(database, study).trials_used == 1


def test_a_writer_that_read_first_waits_for_another(database, study):
    """SQLite would refuse it at once if the transaction had begun as a reader's."""

    def read_then_write(_):
        with database.begin() as connection:
            row = studies.lock(connection, study)
            time.sleep(0.002)
            studies.change(connection, study, epochs_used=row.epochs_used + 1)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(read_then_write, range(40)))
    assert study_row(database, study).epochs_used == 40


# The schema


def our_tables(connection, schema_name=None):
    names = inspect(connection).get_table_names(schema=schema_name)
    return {name for name in names if name.startswith("lr_")}


def test_the_migrations_make_the_tables_that_the_queries_use(database):
    def ours(thing, name, kind, reflected, other):
        return kind != "table" or name.startswith("lr_")

    with database.read() as connection:
        assert our_tables(connection) == {*OURS, schema.VERSION_TABLE}
        options = {
            "version_table": schema.VERSION_TABLE,
            "include_object": ours,
            "compare_type": True,
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
        inspector = inspect(connection)
        for name in OURS:
            table = metadata.tables[name]
            assert inspector.get_pk_constraint(name)["constrained_columns"] == [
                column.name for column in table.primary_key
            ]
            keys = {
                (*key["constrained_columns"], key["referred_table"], key["options"]["ondelete"])
                for key in inspector.get_foreign_keys(name)
            }
            assert keys == {
                (key.parent.name, key.column.table.name, key.ondelete) for key in table.foreign_keys
            }


def test_the_comparison_with_the_migrations_notices_a_column(database):
    other = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(other)
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE lr_queue ADD COLUMN surplus INTEGER"))
        context = MigrationContext.configure(connection)
        found = [str(item) for item in compare_metadata(context, other)]
    assert any("surplus" in item for item in found)


def test_all_keys_to_optunas_tables_cascade(database):
    with database.read() as connection:
        inspector = inspect(connection)
        keys = [key for name in OURS for key in inspector.get_foreign_keys(name)]
    assert {key["referred_table"] for key in keys} == {"studies", "trials", "lr_trial"}
    assert {key["options"]["ondelete"] for key in keys} == {"CASCADE"}


def test_preparing_again_changes_nothing(storage_url):
    with opened(storage_url) as database:
        assert prepare(database)
        assert not prepare(database)
        with database.read() as connection:
            assert schema.revision(connection) == schema.HEAD
            assert schema.is_current(connection)


def test_the_newest_migration_is_the_one_that_databases_are_checked_for():
    assert max(schema.revisions()) == schema.HEAD


def test_an_interrupted_preparation_is_finished_by_the_next(storage_url, monkeypatch):
    def interrupted(connection):
        raise KeyboardInterrupt

    with opened(storage_url) as database:
        with monkeypatch.context() as patch:
            patch.setattr(schema, "upgrade", interrupted)
            with pytest.raises(KeyboardInterrupt):
                prepare(database)
        assert prepare(database)
        with database.read() as connection:
            assert our_tables(connection) == {*OURS, schema.VERSION_TABLE}


def test_an_empty_database_has_no_revision(storage_url):
    with opened(storage_url) as database, database.read() as connection:
        assert schema.revision(connection) is None
        assert not schema.is_current(connection)


def test_the_schema_of_a_newer_version_is_refused(database, prepared_url, monkeypatch):
    with database.begin() as connection:
        connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '999'"))
    monkeypatch.setenv("LRSEARCH_STORAGE", prepared_url)
    for refused in (lambda: prepare(database), lambda: open_database(None)):
        with pytest.raises(StorageError) as error:
            refused()
        message = str(error.value)
        assert "schema 999, newer than this version's" in message
        assert "update lrsearch" in message
        assert "\n" not in message


def test_a_database_that_only_optuna_has_used_is_not_ours_yet(storage_url, monkeypatch):
    monkeypatch.setenv("LRSEARCH_STORAGE", storage_url)
    with opened(storage_url) as database:
        if not database.is_sqlite:
            with database.begin() as connection:
                connection.execute(text("CREATE SCHEMA lrsearch"))
        theirs = optuna_storage(database, create=True)
        optuna.create_study(study_name="theirs", storage=theirs)
        with pytest.raises(StorageError, match="holds no studies"):
            open_database(None)
        assert prepare(database)
        assert optuna.get_all_study_names(storage=theirs) == ["theirs"]


# PostgreSQL: one schema, nobody else's tables


@pytest.fixture
def tenants(postgres):
    """A database with other people's tables in `public`: an older Optuna's, somebody's own."""
    name = postgres.create()
    url = postgres.url(name).replace("postgresql", "postgresql+psycopg")
    study = optuna.create_study(study_name="tiny", storage=url)
    study.add_trial(optuna.create_trial(value=1.0))
    study._storage._backend.engine.dispose()
    for statement in (
        "UPDATE alembic_version SET version_num = 'v2.6.0.a'",
        "UPDATE version_info SET library_version = '2.6.0'",
        "CREATE TABLE lr_study (mine text)",
        "INSERT INTO lr_study VALUES ('keep')",
        "CREATE TABLE lr_alembic_version (version_num text)",
        "INSERT INTO lr_alembic_version VALUES ('from somewhere else')",
    ):
        postgres.execute(statement, database=name)
    yield name
    postgres.drop(name)


def dump(postgres, name):
    """Every table outside of `lrsearch`, with its rows."""
    tables = postgres.execute(
        "SELECT schemaname, tablename FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'lrsearch')",
        database=name,
    )
    return {
        table: sorted(
            map(str, postgres.execute(f'SELECT * FROM {table[0]}."{table[1]}"', database=name))
        )
        for table in tables
    }


def test_other_tenants_tables_are_untouched(postgres, tenants):
    before = dump(postgres, tenants)
    with opened(postgres.url(tenants)) as database:
        assert prepare(database)
        search = make_study(database, budget={"trials": 4})
        work(search)
        rows = trial_rows(search)
    assert len(rows) == 4
    assert dump(postgres, tenants) == before
    assert before["public", "lr_study"] == ["('keep',)"]
    found = postgres.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'lrsearch'", database=tenants
    )
    assert {*OURS, "lr_alembic_version", "studies", "trials", "alembic_version"} <= {
        name for (name,) in found
    }
    sequences = postgres.execute(
        "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND sequencename LIKE"
        " 'lr%%'",
        database=tenants,
    )
    assert sequences == []


def test_a_search_path_of_the_users_own_does_not_lead_elsewhere(postgres, tenants):
    before = dump(postgres, tenants)
    options = "?options=-c%20search_path%3Dpublic%20-c%20statement_timeout%3D54321"
    with opened(postgres.url(tenants) + options) as database:
        prepare(database)
        with database.read() as connection:
            assert connection.execute(text("SELECT current_schema()")).scalar_one() == "lrsearch"
            assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "54321ms"
        make_study(database)
    assert dump(postgres, tenants) == before


@pytest.fixture
def ordinary_role(postgres):
    """A database, and a role that may connect to it and nothing more."""
    name = postgres.create()
    role = f"role_{name}"
    postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    postgres.execute(f"GRANT CONNECT ON DATABASE {name} TO {role}")
    yield name, role
    postgres.drop(name)
    postgres.execute(f"DROP ROLE {role}")


def test_a_role_that_may_not_make_the_schema_is_told_so(postgres, ordinary_role):
    name, role = ordinary_role
    url = postgres.url(name, user=role, password="secret")
    with opened(url) as database, pytest.raises(StorageError) as error:
        prepare(database)
    assert "permission denied" in str(error.value)
    assert "secret" not in str(error.value)


def test_a_role_that_owns_the_schema_needs_no_more(postgres, ordinary_role):
    """An administrator makes the schema; the role may make no other."""
    name, role = ordinary_role
    postgres.execute(f"CREATE SCHEMA lrsearch AUTHORIZATION {role}", database=name)
    with opened(postgres.url(name, user=role, password="secret")) as database:
        assert prepare(database)
        assert ask(make_study(database)).number == 0


# Where the database is


@pytest.mark.parametrize(
    "name",
    [
        "study {0}.db",
        "{}{user}.db",
        'it\'s "quoted".db',
        "50 percent.db",
        "sp ace/deep.db",
        "grün-日本.db",
        "a#b.db",
        "semi;colon.db",
    ],
)
def test_an_unusual_sqlite_path_is_just_a_path(tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    monkeypatch.setenv("LRSEARCH_STORAGE", f"sqlite:///{path}")
    database = open_database(None, create=True)
    with closing(database):
        search = make_study(database, budget={"trials": 2})
        search.tell(ask(search), ended(TrialState.FAILED))
        assert len(search.study.trials) == 1
    assert path.is_file()
    beside = {entry.name for entry in path.parent.iterdir()}
    assert beside <= {path.name + suffix for suffix in ("", "-wal", "-shm")}


def test_a_relative_path_is_below_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LRSEARCH_STORAGE", raising=False)
    with closing(open_database(None, create=True)) as database:
        assert database.path == tmp_path / "lrsearch.db"
        make_study(database)
    assert (tmp_path / "lrsearch.db").is_file()


def test_the_places_that_name_a_database_have_an_order(tmp_path, monkeypatch):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    for name in ("LRSEARCH_STORAGE", "LRSEARCH_STORAGE_FILE"):
        monkeypatch.delenv(name, raising=False)
    seen = [locate(None)]
    (tmp_path / "lrsearch.toml").write_text('storage = "sqlite:///toml.db"')
    seen.append(locate(None))
    (tmp_path / "url").write_text("sqlite:///file.db\n")
    monkeypatch.setenv("LRSEARCH_STORAGE_FILE", str(tmp_path / "url"))
    seen.append(locate(None))
    monkeypatch.setenv("LRSEARCH_STORAGE", "sqlite:///variable.db")
    seen.append(locate(None))
    seen.append(locate("sqlite:///option.db"))
    found = [(location.url.database, location.source) for location in seen]
    assert found == [
        ("lrsearch.db", "default"),
        ("toml.db", str(tmp_path / "lrsearch.toml")),
        ("file.db", "LRSEARCH_STORAGE_FILE"),
        ("variable.db", "LRSEARCH_STORAGE"),
        ("option.db", "--storage"),
    ]


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("mysql://a/b", "mysql:// is not supported"),
        ("sqlite://", "a file that workers can share"),
        ("sqlite:///:memory:", "a file that workers can share"),
        ("nonsense", "is no database URL"),
        ("postgresql://u:hunter2@h/d", "must not hold a password"),
    ],
)
def test_a_storage_that_workers_cannot_share_is_refused(url, part):
    with pytest.raises(StorageError) as error:
        locate(url)
    assert part in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_password_shows_in_no_message(postgres, monkeypatch):
    monkeypatch.setenv("LRSEARCH_STORAGE", postgres.url("no_such_database"))
    location = locate(None)
    assert postgres.password not in str(location)
    database = Database(location)
    with (
        closing(database),
        pytest.raises(StorageError) as error,
        explained(database),
        database.read() as connection,
    ):
        connection.execute(text("SELECT 1"))
    assert "no_such_database" in str(error.value)
    assert postgres.password not in str(error.value)


def test_a_server_that_is_not_there_is_reported_soon(monkeypatch):
    """A refused connection; its message is one line and names the place."""
    monkeypatch.setenv("LRSEARCH_STORAGE", "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(StorageError) as error:
        open_database(None)
    assert "127.0.0.1" in str(error.value)
    assert "\n" not in str(error.value)
