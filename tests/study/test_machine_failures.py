"""Failures that are a machine's or a task's: told apart, given back, and said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_studies import ask, curve_row, ended, make_study

from lrsearch.errors import StudyError
from lrsearch.report.summary import summarize, trial_rows
from lrsearch.storage import curves, leases, machine_failures, trials, workers
from lrsearch.storage.machine_failures import Attempt
from lrsearch.study import machine_failures as rules
from lrsearch.study.machine_failures import IN_A_ROW, Blame, judge
from lrsearch.study.repair import repair
from lrsearch.trial.states import TrialState
from lrsearch.worker.health import Health

BAD, GOOD, OTHER = "bad:1:1", "good:2:1", "other:3:1"
LOST_DISK = "FileNotFoundError: images/00017.png"


def attempt(number, worker, state="complete", *, reason=None, kind="sampled", validated=None):
    running = state == "running"
    return Attempt(
        id=number,
        kind=kind,
        state=state,
        worker=worker,
        reason=reason,
        ended=None if running else number,
        validated=state == "complete" if validated is None else validated,
    )


def fails(*numbers, worker=BAD, reason=LOST_DISK, **fields):
    return [attempt(n, worker, "failed", reason=reason, **fields) for n in numbers]


CASES = {
    "nothing has failed": ([attempt(1, BAD), attempt(2, GOOD)], Blame.RECIPE),
    "two in a row may be chance": ([*fails(1, 2), attempt(3, GOOD)], Blame.RECIPE),
    "three in a row, another trains": ([*fails(1, 2, 3), attempt(4, GOOD)], Blame.MACHINE),
    "another has got to a validation": (
        [*fails(1, 2, 3), attempt(4, GOOD, "running", validated=True)],
        Blame.MACHINE,
    ),
    "a worker that once trained": (
        [attempt(1, BAD), attempt(2, GOOD), *fails(3, 4, 5)],
        Blame.MACHINE,
    ),
    "not in a row": ([*fails(1, 2), attempt(3, BAD), *fails(4), attempt(5, GOOD)], Blame.RECIPE),
    "a diverged trial before its validation trains": (
        [*fails(1, 2), attempt(3, BAD, "diverged"), *fails(4), attempt(5, GOOD)],
        Blame.RECIPE,
    ),
    "failed after a validation": (
        [*fails(1, 2, 3, validated=True), attempt(4, GOOD)],
        Blame.RECIPE,
    ),
    "a worker that trains has failed alike": (
        [*fails(1, worker=GOOD), attempt(2, GOOD), *fails(3, 4, 5)],
        Blame.RECIPE,
    ),
    "numbers in the reason differ": (
        [*fails(1, worker=GOOD, reason="E: 7"), attempt(2, GOOD), *fails(3, 4, 5, reason="E: 12")],
        Blame.RECIPE,
    ),
    "another broken machine has failed alike": (
        [*fails(1, worker=OTHER), *fails(2, 3, 4), attempt(5, GOOD)],
        Blame.MACHINE,
    ),
    "others still train their first": (
        [*fails(1, 2, 3), attempt(9, GOOD, "running")],
        Blame.UNKNOWN,
    ),
    "others have each failed too, one still trains": (
        [*fails(1), *fails(2, worker=GOOD), *fails(3, worker=OTHER), attempt(9, GOOD, "running")],
        Blame.UNKNOWN,
    ),
    "alone, all alike": (fails(1, 2, 3), Blame.TASK),
    "three workers, all alike": (
        [*fails(1), *fails(2, worker=GOOD), *fails(3, worker=OTHER)],
        Blame.TASK,
    ),
    "a later worker gets one trial": ([*fails(1, 2, 3, worker=OTHER), *fails(4)], Blame.TASK),
    "alone, each fails otherwise": (
        [*fails(1, reason="A"), *fails(2, reason="B"), *fails(3, reason="C")],
        Blame.RECIPE,
    ),
    "alone, one trained before": ([attempt(1, BAD), *fails(2, 3, 4)], Blame.RECIPE),
    "another has found so already": (
        [*fails(1, 2, 3, kind="machine"), attempt(4, GOOD)],
        Blame.MACHINE,
    ),
    "given back before, and failing again": (
        [*fails(1, 2, 3, worker=OTHER, kind="machine"), attempt(4, GOOD), *fails(5)],
        Blame.RECIPE,
    ),
    "a lost worker's trial has no worker": (
        [*fails(1, 2, 3, worker=None), attempt(4, GOOD)],
        Blame.RECIPE,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_to_blame(case):
    attempts, blame = CASES[case]
    assert judge(attempts, BAD).blame == blame


ends = st.sampled_from(["complete", "failed", "diverged"])


@given(st.lists(st.tuples(st.sampled_from([BAD, GOOD, OTHER]), ends), max_size=12))
def test_only_failures_of_ones_own_are_given_back_and_never_where_nobody_trains(found):
    attempts = [
        attempt(n, worker, state, reason=LOST_DISK if state == "failed" else None)
        for n, (worker, state) in enumerate(found, start=1)
    ]
    verdict = judge(attempts, BAD)
    if verdict.blame != Blame.MACHINE:
        return
    assert len(verdict.trials) >= IN_A_ROW
    own = {one.id for one in attempts if one.worker == BAD and one.state == "failed"}
    assert set(verdict.trials) <= own
    assert any(one.validated and one.worker != BAD for one in attempts)


# In the database


def fail(search, worker, reason=LOST_DISK):
    assignment = ask(search, worker)
    assert search.tell(assignment, ended(TrialState.FAILED, reason=reason, epochs=0.0))
    return assignment


def train(search, worker, loss=1.0):
    assignment = ask(search, worker)
    with search.database.begin() as connection:
        assert curves.add(connection, assignment.claim, [curve_row(1, val_loss=loss)])
    assert search.tell(assignment, ended(TrialState.COMPLETE))
    return assignment


def failing_health():
    health = Health()
    health.ended(failed=True, validated=False)
    return health


def make(database, **changes):
    return make_study(database, portfolio=0, pruning="none", confirm="none", **changes)


@pytest.mark.both_databases
def test_the_worker_stops_and_its_trials_start_anew_without_a_count(database):
    search = make(database, budget={"trials": 5})
    lost = [fail(search, BAD) for _ in range(3)]
    train(search, GOOD)
    with pytest.raises(StudyError, match=r"last 3 trials failed at once \(FileNotFoundError.*host"):
        failing_health().may_train(search, BAD)
    rows = trial_rows(search)[:3]
    assert {row["reason"] for row in rows} == {f"machine: {LOST_DISK}"}
    assert summarize(search)["budget"]["trials"] == {"total": 5, "used": 1}
    again = [train(search, GOOD) for _ in range(4)]
    assert [each.recipe for each in again[:3]] == [each.recipe for each in lost]
    assert [each.kind for each in again] == ["sampled"] * 4
    assert ask(search, GOOD) is None
    assert summarize(search)["budget"]["trials"] == {"total": 5, "used": 5}
    assert repair(search).done == []


@pytest.mark.both_databases
def test_giving_back_twice_is_giving_back_once(database):
    search = make(database)
    ids = [fail(search, BAD).claim.id for _ in range(3)]
    with database.begin() as connection:
        found = [machine_failures.give_back(connection, search.study_id, ids) for _ in range(2)]
    assert found == [3, 0]
    assert summarize(search)["budget"]["trials"]["used"] == 0


def test_a_baseline_that_failed_for_its_machine_is_the_baseline_again(database):
    recipe = {"optimizer": {"name": "adamw", "lr": 0.01}, "schedule": {"name": "constant"}}
    search = make(database, baseline=recipe)
    ids = [fail(search, BAD).claim.id]
    with database.begin() as connection:
        machine_failures.give_back(connection, search.study_id, ids)
    again = train(search, GOOD)
    assert again.kind == "baseline"
    with database.read() as connection:
        assert trials.baseline(connection, search.study_id).number == again.number


def test_a_worker_waits_while_others_train_what_will_tell(database):
    search = make(database)
    for _ in range(3):
        fail(search, BAD)
    assignment = ask(search, GOOD)
    health = failing_health()
    assert not health.may_train(search, BAD)
    with database.begin() as connection:
        assert curves.add(connection, assignment.claim, [curve_row(1)])
    with pytest.raises(StudyError, match="while other workers train"):
        health.may_train(search, BAD)


def test_what_failed_before_anyone_trained_is_given_back_when_someone_does(database):
    search = make(database, budget={"trials": 6})
    for _ in range(3):
        fail(search, BAD)
    with pytest.raises(StudyError, match="not the learning rate"):
        failing_health().may_train(search, BAD)
    assert summarize(search)["budget"]["trials"]["used"] == 3
    train(search, GOOD)
    health = Health()
    health.ended(failed=False, validated=True)
    assert health.may_train(search, GOOD)
    assert summarize(search)["budget"]["trials"]["used"] == 1


def test_few_failures_are_given_back_once_their_worker_is_gone(database):
    search = make(database)
    fail(search, BAD)
    train(search, GOOD)

    def look():
        with database.begin() as connection:
            return rules.give_back_others(connection, search.study_id, GOOD)

    with database.begin() as connection:
        workers.register(connection, search.study_id, BAD, device="cpu", version="0")
    assert look() == 0
    with database.begin() as connection:
        workers.ended(connection, search.study_id, BAD)
    assert look() == 1


def test_a_trial_taken_over_from_a_good_worker_fails_at_once_in_bad_hands(database):
    """Its validations are of an earlier attempt."""
    search = make(database)
    assignment = ask(search, GOOD)
    with database.begin() as connection:
        assert curves.add(connection, assignment.claim, [curve_row(1)])
        leases.release(connection, search.study_id, [GOOD])
    taken = ask(search, BAD)
    assert taken.claim.id == assignment.claim.id
    assert search.tell(taken, ended(TrialState.FAILED, reason=LOST_DISK))
    with database.read() as connection:
        [found] = machine_failures.attempts(connection, search.study_id)
    assert found.failed_at_once


def test_a_study_of_a_broken_task_stops_after_three_trials(database):
    search = make(database)
    health = Health()
    for number in range(3):
        fail(search, BAD, reason=f"RuntimeError: shape [{number}]")
        health.ended(failed=True, validated=False)
        if number < 2:
            assert health.may_train(search, BAD)
    with pytest.raises(StudyError, match=r"all 3 trials failed alike .*RuntimeError: shape \[2\]"):
        health.may_train(search, BAD)


# An objective that stays null


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED])
def test_a_trial_whose_objective_was_never_finite_has_failed(database, state):
    search = make(database, objective={"metric": "mae", "direction": "minimize"})
    assignment = ask(search)
    rows = [curve_row(n, metrics={"mae": value}) for n, value in [(1, float("nan")), (2, None)]]
    assert search.tell(assignment, ended(state), rows)
    [row] = trial_rows(search)
    assert (row["state"], row["value"]) == ("failed", None)
    assert row["reason"].startswith("the objective mae was NaN, infinite or missing at each")


def test_one_finite_validation_is_a_value(database):
    search = make(database, objective={"metric": "mae", "direction": "minimize"})
    rows = [curve_row(n, metrics={"mae": value}) for n, value in [(1, float("nan")), (2, 0.5)]]
    assert search.tell(ask(search), ended(TrialState.COMPLETE), rows)
    assert [(row["state"], row["value"]) for row in trial_rows(search)] == [("complete", 0.5)]


def test_a_trial_that_was_stopped_before_its_first_validation_stays_pruned(database):
    search = make(database)
    search.tell(ask(search), ended(TrialState.PRUNED, reason="stopped by lrsearch trial stop"))
    assert trial_rows(search)[0]["state"] == "pruned"
