"""Rungs: when a trial is validated, where it is judged, and who goes on."""

import itertools
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lrsearch.trial.pruning import signal
from lrsearch.trial.pruning import survives as survives_among
from lrsearch.trial.validations import NEAR, make_plan

finite = st.floats(allow_nan=False, allow_infinity=False)
signals = st.lists(finite | st.integers(-3, 3).map(float), min_size=1, max_size=30)
etas = st.sampled_from([1.5, 2.0, 3.0, 4.0]) | st.floats(1.01, 10)


def survives(mine, others, *, eta, min_peers):
    """Whether a trial goes on past a rung where the others have these signals."""
    better = sum(other < mine for other in others)
    return survives_among(better=better, others=len(others), eta=eta, min_peers=min_peers)


def survivors(values, *, eta=3.0, min_peers=2):
    """Which of the trials go on if each is judged when all have arrived."""
    return [
        survives(mine, values[:i] + values[i + 1 :], eta=eta, min_peers=min_peers)
        for i, mine in enumerate(values)
    ]


# Who goes on


@given(signals, etas, finite)
def test_a_better_trial_goes_on_wherever_a_worse_one_does(others, eta, mine):
    assume(survives(mine, others, eta=eta, min_peers=2))
    assert survives(math.nextafter(mine, -math.inf), others, eta=eta, min_peers=2)
    assert survives(mine - abs(mine), others, eta=eta, min_peers=2)


@given(signals, etas)
def test_about_one_in_eta_goes_on_at_least_and_these_are_the_best(values, eta):
    kept = survivors(values, eta=eta)
    assert sum(kept) >= max(1, len(values) / eta - 0.5 - 1e-9)
    pruned = [value for value, goes_on in zip(values, kept, strict=True) if not goes_on]
    best = [value for value, goes_on in zip(values, kept, strict=True) if goes_on]
    assert max(best) < min(pruned, default=math.inf)


@given(st.lists(finite, unique=True, min_size=2, max_size=40), etas)
def test_among_different_values_one_in_eta_goes_on(values, eta):
    kept = sum(survivors(values, eta=eta))
    assert kept == 1 or abs(kept - len(values) / eta) <= 0.5 + 1e-9


@given(st.integers(0, 40), st.integers(2, 40), etas)
def test_another_peer_turns_the_verdict_only_to_its_own_side(better, others, eta):
    better = min(better, others)
    verdict = survives_among(better=better, others=others, eta=eta, min_peers=2)
    if verdict:  # one more that is worse
        assert survives_among(better=better, others=others + 1, eta=eta, min_peers=2)
    else:  # one more that is better
        assert not survives_among(better=better + 1, others=others + 1, eta=eta, min_peers=2)


@given(finite, st.integers(0, 30), etas)
def test_equal_values_all_go_on(value, count, eta):
    assert survives(value, [value] * count, eta=eta, min_peers=2)


def test_a_tie_at_the_edge_favours_going_on():
    assert survivors([1.0, 2.0, 2.0, 2.0, 3.0, 4.0]) == [True, True, True, True, False, False]


@given(signals, etas)
def test_an_infinite_loss_is_the_worst(others, eta):
    assume((len(others) + 1) / eta + 0.5 < len(others) + 1)
    assert not survives(math.inf, others, eta=eta, min_peers=2)


@pytest.mark.parametrize("min_peers", [2, 3, 5])
def test_a_rung_with_few_peers_prunes_none(min_peers):
    others = [0.0] * (min_peers - 2)
    assert survives(1.0, others, eta=3, min_peers=min_peers)
    assert not survives(1.0, [*others, 0.0], eta=3, min_peers=min_peers)


def test_the_first_trial_goes_on():
    assert survives(1e9, [], eta=3, min_peers=2)


@pytest.mark.parametrize(
    ("count", "goes_on"), [(2, 1), (3, 1), (4, 1), (5, 2), (7, 2), (8, 3), (10, 3), (11, 4)]
)
def test_the_nearest_to_a_third_goes_on_by_default(count, goes_on):
    kept = survivors([float(i) for i in range(count)])
    assert kept == [True] * goes_on + [False] * (count - goes_on)


# What is compared


@pytest.mark.parametrize(
    ("val_loss", "val_loss_ema", "expected"),
    [
        (1.0, None, 1.0),
        (1.0, 2.0, 1.0),
        (1.0, 0.5, 0.5),
        (-1.0, -2.0, -2.0),
        (1.0, math.nan, 1.0),
        (1.0, math.inf, 1.0),
        (1.0, -math.inf, 1.0),
        (math.nan, 2.0, 2.0),
        (math.nan, None, math.inf),
    ],
)
def test_a_signal_is_the_better_of_raw_and_averaged_weights(val_loss, val_loss_ema, expected):
    assert signal(val_loss, val_loss_ema) == expected


# When a trial is validated

horizons = {"steps_per_epoch": st.integers(1, 50), "total_steps": st.integers(1, 500)}
intervals = st.one_of(
    st.just({}),
    st.builds(lambda n: {"validate_steps": n}, st.integers(1, 600)),
    st.builds(lambda f: {"validate_fraction": f}, st.floats(0.005, 1)),
)
fractions = st.lists(st.floats(0.001, 0.999), unique=True, max_size=5).map(sorted)


@given(**horizons, interval=intervals)
def test_validations_rise_and_the_last_is_at_the_last_step(steps_per_epoch, total_steps, interval):
    plan = make_plan(steps_per_epoch=steps_per_epoch, total_steps=total_steps, **interval)
    assert plan.validations[-1] == plan.total_steps == total_steps
    assert plan.validations[0] >= 1
    assert all(a < b for a, b in itertools.pairwise(plan.validations))


@given(**horizons, interval=intervals, rungs=fractions)
def test_a_rung_is_on_the_nearest_validation_but_never_the_last(
    steps_per_epoch, total_steps, interval, rungs
):
    plan = make_plan(
        steps_per_epoch=steps_per_epoch, total_steps=total_steps, rungs=rungs, **interval
    )
    before_the_last = plan.validations[:-1]
    assert plan.rungs.keys() <= set(range(1, len(before_the_last) + 1))
    assert len(set(plan.rungs.values())) == len(plan.rungs)
    for validation, rung in plan.rungs.items():
        goal = rungs[rung] * total_steps
        nearest = min(abs(step - goal) for step in before_the_last)
        assert abs(plan.validations[validation - 1] - goal) == nearest
    if before_the_last and rungs:
        assert 0 in plan.rungs.values()
        assert list(plan.rungs) == sorted(plan.rungs)


def test_a_validation_is_at_the_end_of_each_epoch_by_default():
    plan = make_plan(steps_per_epoch=10, total_steps=35)
    assert plan.validations == (10, 20, 30, 35)


def test_validations_may_come_each_so_many_steps_or_each_fraction():
    by_steps = make_plan(steps_per_epoch=10, total_steps=35, validate_steps=15)
    assert by_steps.validations == (15, 30, 35)
    by_fraction = make_plan(steps_per_epoch=10, total_steps=35, validate_fraction=0.25)
    assert by_fraction.validations == (9, 18, 26, 35)
    assert make_plan(steps_per_epoch=10, total_steps=35, validate_fraction=1).validations == (35,)
    often = make_plan(steps_per_epoch=10, total_steps=3, validate_fraction=0.01)
    assert often.validations == (1, 2, 3)


def test_the_default_rungs_of_thirty_epochs_are_after_epochs_1_3_and_10():
    plan = make_plan(steps_per_epoch=45, total_steps=1350, rungs=(0.04, 0.11, 0.33))
    assert plan.rungs == {1: 0, 3: 1, 10: 2}


def test_two_rungs_on_the_same_validation_count_once():
    plan = make_plan(steps_per_epoch=10, total_steps=50, rungs=(0.04, 0.11, 0.33))
    assert plan.rungs == {1: 0, 2: 2}


@pytest.mark.parametrize(
    ("total_steps", "validations", "rungs"),
    [
        (100, (4, 11, 33, 100), {1: 0, 2: 1, 3: 2}),  # one epoch
        (300, (12, 33, 100, 200, 300), {1: 0, 2: 1, 3: 2}),
        (500, (20, 55, 100, 200, 300, 400, 500), {1: 0, 2: 1, 4: 2}),
        (5, (1, 2, 5), {1: 0, 2: 2}),
    ],
)
def test_rungs_that_no_epoch_ends_near_have_validations_of_their_own(
    total_steps, validations, rungs
):
    plan = make_plan(
        steps_per_epoch=100,
        total_steps=total_steps,
        validate_rungs=True,
        rungs=(0.04, 0.11, 0.33),
    )
    assert (plan.validations, plan.rungs) == (validations, rungs)


@given(**horizons, interval=intervals, rungs=fractions)
def test_every_rung_is_then_near_a_validation(steps_per_epoch, total_steps, interval, rungs):
    plan = make_plan(
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
        validate_rungs=True,
        rungs=rungs,
        **interval,
    )
    for goal in (fraction * total_steps for fraction in rungs):
        if 0.5 < goal < total_steps - 0.5:  # its step is neither the first nor the last
            distance = min(abs(step - goal) for step in plan.validations[:-1])
            assert distance <= max(NEAR * goal, 0.5)


@given(st.integers(20, 300), st.integers(1, 2000))
def test_runs_of_twenty_epochs_and_more_are_validated_at_the_ends_of_epochs_alone(epochs, steps):
    plan = make_plan(
        steps_per_epoch=steps,
        total_steps=epochs * steps,
        validate_rungs=True,
        rungs=(0.04, 0.11, 0.33),
    )
    assert len(plan.validations) == epochs


def test_a_trial_with_one_validation_has_no_rung():
    plan = make_plan(steps_per_epoch=10, total_steps=10, rungs=(0.04, 0.11, 0.33))
    assert plan.rungs == {}
