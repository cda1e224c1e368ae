"""How likely a learning rate diverges: where one lr parts all trials, and where nothing does."""

import random

import pytest

from lrsearch.advice.divergence_curve import LEAST_TRIALS, fit_divergence

LRS = [10 ** (-4 + i / 10) for i in range(40)]


def share(curve, lr):
    """What is told at the nearest lr."""
    return min(curve.curve, key=lambda risk: abs(risk.lr / lr - 1))


def test_trials_that_one_lr_parts_have_a_steep_curve_and_no_infinite_slope():
    curve = fit_divergence(LRS, [lr > 0.1 for lr in LRS])
    assert share(curve, 1e-3).high < 0.2
    assert share(curve, 0.8).low > 0.8
    assert 0.2 < share(curve, 0.1).share < 0.8
    assert (curve.trials, curve.diverged) == (40, sum(lr > 0.1 for lr in LRS))


def test_a_curve_only_rises_and_lies_in_its_interval():
    draw = random.Random(0)
    curve = fit_divergence(LRS, [draw.random() < 0.2 + 0.6 * (lr > 0.01) for lr in LRS])
    shares = [risk.share for risk in curve.curve]
    assert shares == sorted(shares)
    assert all(0 <= risk.low <= risk.share <= risk.high <= 1 for risk in curve.curve)


@pytest.mark.parametrize(("diverged", "low", "high"), [(False, 0.0, 0.15), (True, 0.85, 1.0)])
def test_where_none_or_all_diverged_the_middle_is_as_sure_as_the_trials_allow(diverged, low, high):
    risk = share(fit_divergence(LRS, [diverged] * 40), 1e-2)
    assert low <= risk.low <= risk.high <= high
    few = share(fit_divergence(LRS[::8], [diverged] * 5), 1e-2)
    assert few.high - few.low > risk.high - risk.low


def test_a_trial_that_diverged_for_a_reason_of_its_own_is_no_edge():
    alone = fit_divergence(LRS, [i == 3 or lr > 0.1 for i, lr in enumerate(LRS)])
    assert share(alone, 1e-2).share < 0.25


def test_few_trials_have_no_curve():
    assert fit_divergence(LRS[: LEAST_TRIALS - 1], [True] * (LEAST_TRIALS - 1)) is None
    assert fit_divergence([], []) is None
