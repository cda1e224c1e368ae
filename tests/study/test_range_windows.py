"""Range tests of a study on both databases: planned and paid for, claimed once, taken over; later
trials are drawn where they say."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from ramps import make_result
from sqlalchemy import update
from tiny_studies import (
    LEASE,
    STEPS_PER_EPOCH,
    ask,
    ended,
    make_context,
    make_study,
    opened,
    tiny_spec,
    tiny_task,
    worker_of,
)
from torch.nn.functional import cross_entropy

from lrsearch.range_test.plan import range_plan
from lrsearch.report.summary import summarize, trial_rows
from lrsearch.storage import leases, range_tests, studies, trials
from lrsearch.storage.ends import RangeTestEnd
from lrsearch.storage.tables import studies as study_table
from lrsearch.study.create import create_study
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.prepare_database import prepare
from lrsearch.study.status import is_finished, reap
from lrsearch.task.task import LoadedTask, Task
from lrsearch.trial.states import StudyState, TrialState
from lrsearch.worker.jobs import range_test

AUTO = {"range_test": "auto", "budget": {"trials": 400}}
WINDOW = make_result().window
DEAD = "nowhere:1:1"


@pytest.fixture
def search(database):
    """A study with range tests of SGD and AdamW."""
    return make_study(database, **AUTO)


def rows_of(search):
    with search.database.read() as connection:
        return range_tests.everything(connection, search.study_id)


def study_of(search):
    with search.database.read() as connection:
        return studies.by_id(connection, search.study_id)


def record(search, row, **values):
    result = make_result(optimizer=row.optimizer).to_dict()
    fields = {"state": TrialState.COMPLETE, "result": result, "epochs": 16.0, "seconds": 1.0}
    with search.database.begin() as connection:
        return range_tests.record(connection, row, RangeTestEnd(**{**fields, **values}))


def release(search, worker):
    with search.database.begin() as connection:
        return leases.release(connection, search.study_id, [worker])


def set_state(search, state):
    with search.database.begin() as connection:
        studies.set_state(connection, search.study_id, state)


def loaded(loss):
    """A task whose loss falls clearly, but for what `loss` makes of it."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(96, 4, generator=generator)
    data = inputs, inputs[:, :3].argmax(1)
    task = Task(
        model=lambda: torch.nn.Linear(4, 3), train=data, validation=data, loss=loss, batch_size=16
    )
    return LoadedTask(reference="", source=Path(), target=task, code={})


def train(search, row, loss=cross_entropy):
    """Be the worker of a claimed range test."""
    range_test.train(make_context(search, loaded(loss), worker=row.worker), row)


# Planned and paid for


def test_a_study_is_created_with_a_range_test_for_each_optimizer(search):
    plan = range_plan(search.spec, STEPS_PER_EPOCH)
    rows = rows_of(search)
    assert [row.optimizer for row in rows] == ["sgd", "adamw"]
    assert {(row.state, row.attempt, row.worker) for row in rows} == {("waiting", 0, None)}
    assert [row.epochs_reserved for row in rows] == [plan.epochs_of(test) for test in plan.tests]
    assert study_of(search).epochs_reserved == pytest.approx(plan.epochs)
    assert plan.epochs <= 0.03 * 400 * 4


def test_its_epochs_move_from_reserved_to_used(search):
    first, second = search.claim_range_test("a:1:1"), search.claim_range_test("b:1:1")
    reserved = study_of(search).epochs_reserved
    assert record(search, first)
    assert not record(search, first)  # an end is final
    study = study_of(search)
    assert study.epochs_used == 16
    assert study.epochs_reserved == pytest.approx(reserved - first.epochs_reserved)
    assert record(search, second, state=TrialState.FAILED, result=None, reason="no", epochs=0.5)
    study = study_of(search)
    assert (study.epochs_used, study.epochs_reserved) == (16.5, pytest.approx(0, abs=1e-9))
    summary = summarize(search)
    assert summary["epochs"]["range_test"] == 16.5
    assert [test["state"] for test in summary["range_tests"]] == ["complete", "failed"]
    assert summary["range_tests"][0]["window"] == list(WINDOW)
    assert summary["range_tests"][1]["reason"] == "no"


def test_total_epochs_are_not_exceeded(database):
    total = 1600.0
    search = make_study(database, range_test="auto", budget={"epochs": total})
    planned = study_of(search).epochs_reserved
    assert 0 < planned <= 0.03 * total
    rows = [search.claim_range_test("a:1:1") for _ in range(2)]
    started = 0
    with database.begin() as connection:
        while trials.start(connection, search.study_id, "a:1:1", LEASE, horizon=4, keep=0.25):
            started += 1
    assert started == (0.75 * total - planned) // 4
    for row in rows:
        assert record(search, row, epochs=row.epochs_reserved)
    assert study_of(search).epochs_used == pytest.approx(planned)


def test_the_clock_of_the_study_starts_with_its_range_test(database):
    search = make_study(database, range_test="auto", budget={"time": 3600})
    assert study_of(search).first_ask_at is None
    assert search.claim_range_test("a:1:1")
    started = study_of(search).first_ask_at
    assert started is not None
    assert search.claim_range_test("a:1:1")
    assert study_of(search).first_ask_at == started


# Claimed once


@pytest.mark.both_databases
def test_eight_threads_claim_each_range_test_once(search):
    with ThreadPoolExecutor(8) as threads:
        claimed = list(threads.map(lambda i: search.claim_range_test(f"w:{i}:1"), range(16)))
    ids = [row.id for row in claimed if row is not None]
    assert sorted(ids) == [row.id for row in rows_of(search)]
    assert {row.state for row in rows_of(search)} == {"running"}


def test_trials_go_on_beside_a_range_test(search):
    assert search.claim_range_test("a:1:1")
    assert ask(search).number == 0


@pytest.mark.parametrize("state", [StudyState.PAUSED, StudyState.STOPPED])
def test_a_study_that_starts_no_trial_starts_no_range_test(search, state):
    set_state(search, state)
    assert search.claim_range_test("a:1:1") is None
    assert is_finished(search) is (state == StudyState.STOPPED)
    set_state(search, StudyState.OPEN)
    assert search.claim_range_test("a:1:1")


def test_a_study_with_its_budget_used_starts_no_range_test(search):
    with search.database.begin() as connection:
        studies.change(connection, search.study_id, trials_total=0)
    assert search.claim_range_test("a:1:1") is None
    assert is_finished(search)


def test_a_range_test_that_is_trained_keeps_the_study_from_being_finished(search):
    row = search.claim_range_test("elsewhere:1:1")
    set_state(search, StudyState.STOPPED)
    assert not is_finished(search)
    assert record(search, row)
    assert is_finished(search)


# Taken over


@pytest.mark.both_databases
def test_a_released_range_test_is_claimed_again_and_fences_the_first(search):
    stale = search.claim_range_test("old:1:1")
    assert release(search, "other:1:1") == 0
    assert release(search, "old:1:1") == 1
    fresh = search.claim_range_test("new:1:1")
    assert (fresh.id, fresh.attempt) == (stale.id, 2)
    assert not record(search, stale)
    assert study_of(search).epochs_used == 0
    assert record(search, fresh)


def test_a_range_test_of_a_dead_worker_is_taken_over(search, monkeypatch):
    search.claim_range_test(DEAD)
    monkeypatch.setattr("lrsearch.storage.worker_identity._host", lambda: "nowhere")
    monkeypatch.setattr("lrsearch.storage.worker_identity._started", lambda pid: "2")
    assert len(reap(search)) == 1
    assert search.claim_range_test("new:1:1").attempt == 2


def test_a_range_test_that_is_stopped_is_let_go_of(search):
    row = search.claim_range_test("a:1:1")
    range_test.train(make_context(search, tiny_task(), worker="a:1:1", stop=lambda: True), row)
    assert (rows_of(search)[0].state, rows_of(search)[0].worker) == ("running", None)
    assert search.claim_range_test("b:1:1").id == row.id


# What they find


def sgd_lrs(search, count):
    """Momentum-equivalent lr of so many trials that are drawn and told to be average."""
    found = []
    for _ in range(count):
        assignment = ask(search)
        optimizer = assignment.recipe.optimizer
        found.append(optimizer["lr"] * 0.1 / (1 - optimizer["momentum"]))
        search.tell(assignment, ended(TrialState.FAILED))
    return found


def test_nine_of_ten_later_trials_are_drawn_inside_the_window(tmp_path):
    low, high = WINDOW
    lr = {"low": low / 100, "high": high * 10, "log": True}
    sgd = {"lr": lr, "momentum": 0.9, "nesterov": False}
    space = {"optimizers": {"sgd": sgd}, "schedules": ["constant"], "warmup": 0.0}
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        search = make_study(database, **AUTO, space=space)
        row = search.claim_range_test("a:1:1")
        before = sum(low <= lr <= high for lr in sgd_lrs(search, 20))
        assert record(search, row)
        other = OpenStudy.open(database, "tiny")  # another worker learns of it as well
        after = sgd_lrs(search, 20) + sgd_lrs(other, 20)
    assert before <= 14  # 2.3 of 5.3 decades
    assert 31 <= sum(low <= lr <= high for lr in after) < 40


def test_finished_range_tests_are_not_asked_for_again(search, monkeypatch):
    for name in ("a:1:1", "b:1:1"):
        record(search, search.claim_range_test(name))
    ask(search)
    assert set(search.windows) == {"sgd.lr", "adamw.lr"}
    monkeypatch.setattr(range_tests, "windows_so_far", None)
    assert search.claim_range_test("a:1:1") is None
    assert ask(search)


def test_a_trained_range_test_is_recorded_with_its_ramps(search):
    train(search, search.claim_range_test("a:1:1"))
    row, waiting = rows_of(search)
    assert (row.state, row.reason, waiting.state) == ("complete", None, "waiting")
    steps = sum(len(ramp["lrs"]) for ramp in row.result["ramps"])
    assert row.epochs == pytest.approx(steps / STEPS_PER_EPOCH)
    assert 0 < row.epochs <= row.epochs_reserved
    assert row.seconds > 0
    assert row.result["window"][0] < row.result["window"][1]


def raises(output, target):
    raise RuntimeError("the user's\nown")


def flat(output, target):
    return 0 * output.sum() + torch.randn(())


@pytest.mark.parametrize(
    ("loss", "state", "reason"),
    [
        (raises, "failed", "RuntimeError: the user's own"),
        (flat, "complete", "the loss fell by less than four times the noise of its batches"),
    ],
)
def test_a_range_test_that_fails_or_finds_nothing_leaves_no_window(search, loss, state, reason):
    train(search, search.claim_range_test("a:1:1"), loss)
    row = rows_of(search)[0]
    assert (row.state, row.reason) == (state, reason)
    assert ask(search)
    assert search.windows == {}
    assert not is_finished(search)


# A whole study


LONG = {
    "epochs": 60,
    "validate_every": {"steps": 60},
    "budget": {"trials": 10},
    "range_test": "auto",
    "confirm": "none",
    "ema": "none",
}
#: The linear model stands a high lr.
ADAMW = {
    "optimizers": {"adamw": {"lr": {"low": 1e-3, "high": 10.0, "log": True}}},
    "schedules": ["constant", "cosine"],
}


def test_one_worker_tests_first_and_draws_the_same_study_again(tmp_path):
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        one, two = (make_study(database, **LONG, space=ADAMW, name=name) for name in ("a", "b"))
        stale = two.claim_range_test(DEAD)  # its worker dies in the middle of it
        assert release(two, DEAD) == 1
        for search in (one, two):
            worker_of(search, loaded(cross_entropy)).run()
            assert is_finished(search)
        assert not record(two, stale)
        first, second = trial_rows(one), trial_rows(two)
        assert [row["recipe"] for row in first] == [row["recipe"] for row in second]
        assert [row["value"] for row in first] == [row["value"] for row in second]
        assert [rows_of(search)[0].attempt for search in (one, two)] == [1, 2]
        test = rows_of(one)[0]
        low, high = test.result["window"]
        inside = [low <= row["recipe"]["optimizer"]["lr"] <= high for row in first]
        assert sum(inside) >= 7
        study = study_of(one)
        spent = sum(row["epochs"] for row in first) + test.epochs
        assert study.epochs_used == pytest.approx(spent)
        assert study.epochs_reserved == pytest.approx(0, abs=1e-9)


def test_a_study_stored_without_the_field_still_opens(database):
    search = make_study(database, range_test="none")
    spec = tiny_spec(range_test="auto")
    with database.begin() as connection:
        old = {k: v for k, v in search.spec.to_dict().items() if k != "range_test"}
        connection.execute(update(study_table).values(definition=old))
    again = OpenStudy.open(database, "tiny")
    assert again.spec == spec
    assert again.claim_range_test("a:1:1") is None  # none was planned
    found, new = create_study(
        database, spec, tiny_task(), steps_per_epoch=STEPS_PER_EPOCH, exist_ok=True
    )
    assert not new
    assert rows_of(found) == []


@pytest.mark.both_databases
def test_deleting_a_study_deletes_its_range_tests(search):
    study = search.study_id
    search.delete()
    with search.database.read() as connection:
        assert range_tests.everything(connection, study) == []
        assert trials.everything(connection, study) == []


def test_a_time_budget_is_not_eaten_by_range_tests(tmp_path):
    """3 % of 200 seconds, over two optimizers, is over in the first steps of a slow task."""

    def slow(output, target):
        time.sleep(0.1)
        return cross_entropy(output, target)

    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        search = make_study(database, range_test="auto", budget={"time": 200})
        row = search.claim_range_test("a:1:1")
        assert row.seeds == 1
        train(search, row, slow)
        test = summarize(search)["range_tests"][0]
        assert test["state"] == "failed"
        assert "3 % of the budget" in test["reason"]
        assert 0 < study_of(search).epochs_used < 10
