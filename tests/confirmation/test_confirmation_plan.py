"""Which runs confirm: how many choose and report, on which seeds, and when they stop early."""

import random

import pytest
from confirmed_runs import SEED, rounds_of, run, setting
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.confirmation.plan import run_for_test
from lrsearch.confirmation.runs import CHOOSE, REPORT, TEST_FOLLOWS, PlannedRun
from lrsearch.confirmation.shape import SMALL_RUNS, Round, shape

CANDIDATES = [11, 12, 13, 14, 15, 16, 17, 18]


def rounds(*pairs):
    return tuple(Round(candidates=candidates, seeds=seeds) for candidates, seeds in pairs)


# How many


@given(st.integers(0, 120), st.none() | st.integers(1, 12))
def test_runs_are_divided_between_choosing_and_reporting(runs, top):
    plan = shape(runs, top)
    seeds = [0, *(each.seeds for each in plan.rounds)]
    fields = [each.candidates for each in plan.rounds]
    spent = sum(k * (b - a) for k, a, b in zip(fields, seeds, seeds[1:], strict=False))
    assert spent + plan.report == runs
    if runs > SMALL_RUNS:
        assert plan.report >= 0.4 * runs  # never fewer: these alone give the interval
    elif plan.rounds:
        assert plan.report + seeds[-1] >= 2  # both are of the winner, and give an interval
    assert seeds == sorted(set(seeds))
    assert fields == sorted(set(fields), reverse=True)
    if plan.rounds:
        assert fields[-1] == 2
        assert seeds[-1] >= (2 if runs > SMALL_RUNS else 1)
        assert fields[0] <= (top or 10)
        assert spent >= 0.45 * runs


@pytest.mark.parametrize(
    ("runs", "top", "expected", "report"),
    [
        (30, None, rounds((5, 1), (3, 3), (2, 6)), 13),
        (15, None, rounds((4, 1), (2, 3)), 7),
        (10, None, rounds((4, 1), (2, 2)), 4),
        (7, None, rounds((2, 2)), 3),
        (6, None, rounds((2, 2)), 2),
        (5, None, rounds((2, 2)), 1),
        (4, None, rounds((2, 1)), 2),
        (3, None, rounds((2, 1)), 1),
        (6, 1, (), 6),
        (2, None, (), 2),
        (1, None, (), 1),
        (0, None, (), 0),
        (15, 1, (), 15),
        (15, 3, rounds((3, 1), (2, 4)), 6),
    ],
)
def test_shapes_by_hand(runs, top, expected, report):
    plan = shape(runs, top)
    assert (plan.rounds, plan.report) == (expected, report)


# Few runs


@pytest.mark.parametrize(("runs", "seeds"), [(3, 1), (4, 1), (5, 2), (6, 2)])
def test_few_runs_choose_between_the_best_two_and_go_on_with_the_better(runs, seeds):
    found = rounds_of(setting(runs=runs), CANDIDATES, lambda r: -r.number)
    assert [(row.number, row.seed - SEED) for row in found[0]] == [
        (number, 1 + seed) for seed in range(seeds) for number in (11, 12)
    ]
    assert {(row.number, row.role) for row in found[1]} == {(12, "winner")}
    assert len(found[0]) + len(found[1]) == runs


@pytest.mark.parametrize(("own", "chosen"), [({11: 0.5, 12: 1.0}, 11), ({11: 0.9, 12: 1.0}, 12)])
def test_the_searchs_own_loss_counts_half_of_a_fresh_seeds(own, chosen):
    """On its fresh seed trial 12 is better by 0.2: an own lead of 0.4 is even, of 0.5 is more."""
    found = rounds_of(setting(runs=3, own=own), CANDIDATES, lambda r: {11: 1.2, 12: 1.0}[r.number])
    assert {row.number for row in found[1]} == {chosen}


def test_an_own_loss_of_only_one_of_them_does_not_count():
    plan = setting(runs=3, own={11: 0.0})
    found = rounds_of(plan, CANDIDATES, lambda r: {11: 1.2, 12: 1.0}[r.number])
    assert {row.number for row in found[1]} == {12}


def test_more_runs_do_not_look_at_the_own_loss():
    plan = setting(runs=7, own={11: -100.0, 12: 1.0})
    found = rounds_of(plan, [11, 12], lambda r: {11: 1.2, 12: 1.0}[r.number] + r.seed / 100)
    assert {row.number for row in found[1]} == {12}


def test_of_few_runs_a_lone_candidate_gets_all():
    [rows] = rounds_of(setting(runs=5), [11], lambda r: 1.0 + r.seed)
    assert [row.seed - SEED for row in rows] == [1, 2, 3, 4, 5]


# The rounds


@given(
    st.integers(1, 40),
    st.integers(1, 8),
    st.none() | st.integers(1, 9),
    st.sampled_from([None, 11, 99]),
    st.booleans(),
    st.integers(0, 999),
    st.sampled_from([0.0, 0.1]),
)
def test_a_confirmation_keeps_its_promises(runs, count, top, baseline, has_test, noise, fails):
    draw = random.Random(noise)
    plan = setting(runs=runs, top=top, baseline=baseline, has_test=has_test)
    found = rounds_of(
        plan, CANDIDATES[:count], lambda r: None if draw.random() < fails else draw.gauss(1, 0.1)
    )
    rows = [row for rows in found for row in rows]
    chose = {row.seed for row in rows if row.round == CHOOSE}
    reported = {row.seed for row in rows if row.round == REPORT}
    assert len(rows) + plan.tests <= runs
    assert chose.isdisjoint(reported)
    assert min(chose | reported, default=SEED + 1) == SEED + 1
    assert len({(row.round, row.number, row.seed) for row in rows}) == len(rows)
    for together in found:  # all of a round on the same seeds, seed by seed
        numbers = dict.fromkeys(row.number for row in together)
        seeds = dict.fromkeys(row.seed for row in together)
        assert [(r.seed, r.number) for r in together] == [
            (seed, number) for seed in seeds for number in numbers
        ]
    failed = {row.number for row in rows if row.round == CHOOSE and row.value is None}
    alive = {row.number for row in rows if row.round == CHOOSE} - failed or not chose
    assert bool(reported) == bool(alive)
    if reported:
        assert found[-1][0].role == "winner"
        assert (found[-1][0].test == TEST_FOLLOWS) == bool(plan.tests)


def test_the_better_half_goes_on_and_the_best_two_report():
    """Trial 13 is best, then 15, 11; each seed shifts all alike."""
    means = {13: 1.0, 15: 1.05, 11: 1.3, 12: 1.6, 14: 1.7}
    jitter = random.Random(0)
    found = rounds_of(
        setting(), CANDIDATES, lambda r: means[r.number] + r.seed + jitter.gauss(0, 0.06)
    )
    numbers = [sorted({row.number for row in rows}) for rows in found]
    assert numbers == [[11, 12, 13, 14, 15], [11, 13, 15], [13, 15], [13, 15]]
    assert {row.role: row.number for row in found[-1]} == {"winner": 13, "rival": 15}


def test_more_is_better_where_the_study_says_so():
    found = rounds_of(setting(runs=7, minimize=False), [11, 12], lambda r: r.number)
    assert {row.number for row in found[-1]} == {12}


@pytest.mark.parametrize(
    ("runs", "roles", "seeds"),
    [
        (30, {"winner": 13, "baseline": 99}, 6),
        (15, {"winner": 13, "baseline": 99}, 3),
        (60, {"winner": 13, "rival": 12, "baseline": 99}, 8),
        (3, {"winner": 11}, 3),
    ],
)
def test_a_baseline_takes_seeds_of_the_report(runs, roles, seeds):
    noise = random.Random(1)
    plan = setting(runs=runs, baseline=99)
    found = rounds_of(plan, CANDIDATES[:3], lambda r: -r.number / 100 + noise.gauss(0, 2e-2))
    assert {row.role: row.number for row in found[-1]} == roles
    assert len({row.seed for row in found[-1]}) == seeds


def test_a_candidate_that_failed_a_seed_is_out():
    found = rounds_of(setting(), CANDIDATES, lambda r: None if r.number == 11 else 1.0)
    assert found[1][0].number == 12
    assert len(rounds_of(setting(), CANDIDATES, lambda r: None)) == 1


def test_where_those_who_were_ahead_fail_the_next_best_reports():
    def value(r):
        late = r.round == CHOOSE and r.seed > SEED + 3
        return None if late else r.number + r.seed / 100

    found = rounds_of(setting(), CANDIDATES, value)
    assert [sorted({row.number for row in rows}) for rows in found] == [
        [11, 12, 13, 14, 15],
        [11, 12, 13],
        [11, 12],
        [13],
    ]


# Early stops


def noisy(gap, spread, noise):
    draw = random.Random(noise)
    return lambda r: gap * (r.number - 11) + draw.gauss(0, spread)


def test_recipes_that_do_not_depend_on_the_seed_are_run_twice():
    found = rounds_of(setting(), CANDIDATES, lambda r: float(r.number))
    assert [len(rows) for rows in found] == [5, 6, 4]
    assert {row.number for row in found[-1]} == {11, 12}


def test_a_leader_that_is_clear_of_the_rest_reports_alone_and_the_rest_is_not_spent():
    found = rounds_of(setting(runs=60), CANDIDATES, noisy(1.0, 0.05, 0))
    whole = rounds_of(setting(runs=60), CANDIDATES, noisy(0.0, 1.0, 0))
    assert {row.role for row in found[-1]} == {"winner"}
    assert {row.role for row in whole[-1]} == {"winner", "rival"}
    assert 2 * len(found[-1]) == len(whole[-1])
    assert sum(map(len, found)) < 0.8 * sum(map(len, whole))


def test_candidates_within_the_tolerance_are_not_told_apart_further():
    noise = noisy(0.0, 0.01, 2)
    assert len(rounds_of(setting(runs=60, tolerance=0.1), CANDIDATES, noise)) < len(
        rounds_of(setting(runs=60), CANDIDATES, noisy(0.0, 0.01, 2))
    )


def test_the_last_candidate_left_reports_alone():
    found = rounds_of(setting(), CANDIDATES, lambda r: 1.0 if r.number == 14 else None)
    assert [len(rows) for rows in found] == [5, 6]
    assert {(row.number, row.role) for row in found[-1]} == {(14, "winner")}


# What older versions began


@pytest.mark.parametrize("has_test", [False, True])
@pytest.mark.parametrize("runs", range(1, 20))
def test_a_confirmation_that_is_made_smaller_stays_within_its_runs(runs, has_test):
    [first, second, *_] = rounds_of(setting(runs=30), CANDIDATES, lambda r: r.number)
    begun = [*first, *second]
    after = rounds_of(setting(runs=runs, has_test=has_test), CANDIDATES, lambda r: r.number, begun)
    rows = [row for rows in after for row in rows]
    tests = any(row.test == TEST_FOLLOWS for row in rows)
    assert len(begun) + len(rows) + tests <= max(runs, len(begun))
    assert bool(rows) == (runs > len(begun))


def test_a_choice_that_an_older_version_made_is_reported():
    rows = [run(n, SEED + 1 + i, n + i / 10) for i in range(6) for n in (11, 12, 13)]
    (found,) = rounds_of(setting(top=3), [], lambda r: 1.0, rows)
    assert {row.round for row in found} == {REPORT}
    assert min(row.seed for row in found) == SEED + 7


def test_a_report_that_an_older_version_made_is_complete():
    rows = [run(11, SEED + 1, 1.0), run(11, SEED + 2, 1.0, REPORT, "winner")]
    assert rounds_of(setting(has_test=True), CANDIDATES, lambda r: 1.0, rows) == []
    assert run_for_test(rows, 11) == []


def test_the_test_set_is_used_once_for_the_recommended_on_a_fresh_seed():
    rows = [
        run(n, 7, 1.0, REPORT, role, test=TEST_FOLLOWS)
        for n, role in ((11, "winner"), (12, "rival"))
    ]
    (due,) = run_for_test(rows, 12)
    assert due == PlannedRun(round="test", role="winner", number=12, seed=8)
    assert run_for_test(rows, None) == []
    assert run_for_test([*rows, run(12, 8, 1.0, "test", "winner")], 12) == []
