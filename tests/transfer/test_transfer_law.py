"""The law of two regimes: closed form against Monte Carlo, and laws that are known."""

import math

import numpy as np
import pytest

from lrsearch.transfer.constants import OVERFITTING, TRAINING
from lrsearch.transfer.law import Measured, octave_sums, predict, slope_covariance

#: ln lr.
FIRST = math.log(0.03)


def rungs(slope, first=FIRST, spread=0.1):
    return [Measured(octaves=j, x=first + slope * j * math.log(2), spread=spread) for j in range(4)]


@pytest.mark.parametrize("regime", [TRAINING, OVERFITTING])
def test_the_closed_form_is_that_of_drawn_laws(regime):
    """Prediction by regression on drawn laws: both are the same Gaussian's."""
    rng = np.random.default_rng(0)
    draws, octaves = 200_000, [0.0, 1.0, 2.0, 3.0, 5.5]
    slopes = regime.slope + regime.common * rng.normal(size=(draws, 1))
    slopes = slopes + regime.own * rng.normal(size=(draws, 6))
    slopes += np.cumsum(regime.walk * rng.normal(size=(draws, 6)), axis=1)
    whole = np.concatenate([np.zeros((draws, 1)), np.cumsum(slopes, axis=1)], axis=1)
    half = (whole[:, 5] + whole[:, 6]) / 2
    drawn = math.log(2) * np.column_stack([whole[:, :4], half])
    sums = octave_sums(octaves)
    known = sums @ slope_covariance(regime, 6) @ sums.T
    assert np.cov(drawn.T) == pytest.approx(known, rel=0.03, abs=0.003)
    assert drawn.mean(0) == pytest.approx(regime.slope * sums.sum(1), abs=0.01)


def test_the_posterior_is_that_of_regression_on_drawn_rungs():
    rng = np.random.default_rng(1)
    draws = 200_000
    slopes = TRAINING.slope + TRAINING.common * rng.normal(size=(draws, 1))
    slopes = slopes + TRAINING.own * rng.normal(size=(draws, 6))
    slopes += np.cumsum(TRAINING.walk * rng.normal(size=(draws, 6)), axis=1)
    x = math.log(2) * np.column_stack([np.zeros(draws), np.cumsum(slopes, axis=1)])
    seen = x[:, :4] + math.hypot(0.1, 0.1) * rng.normal(size=(draws, 4))
    # Without knowledge of x(0), only differences tell.
    design = np.column_stack([np.ones(draws), np.diff(seen, axis=1)])
    target = x[:, 6] - seen[:, 0]
    weights, *_ = np.linalg.lstsq(design, target, rcond=None)
    rest = np.std(target - design @ weights)
    mine = rungs(-0.2)
    steps = np.diff([each.x for each in mine])
    expected = mine[0].x + weights[0] + steps @ weights[1:]
    branch = predict(mine, 6.0).branches[0]
    assert branch.x == pytest.approx(expected, abs=0.02)
    assert branch.spread == pytest.approx(1.2 * math.hypot(rest, 0.25), rel=0.02)


@pytest.mark.parametrize("slope", [0.0, -1 / 3, -1.0])
def test_a_straight_law_is_within_the_interval(slope):
    mine = rungs(slope)
    low, high = predict(mine, 6.0).interval
    assert low < mine[0].x + slope * 6 * math.log(2) < high


def test_the_mixture_finds_which_regime_it_is():
    assert predict(rungs(0.0), 6.0).overfitting < 0.01
    falling = predict(rungs(-1.0), 6.0)
    assert falling.overfitting > 0.9
    assert falling.likeliest.regime is OVERFITTING
    assert falling.likeliest.x == pytest.approx(rungs(-1.0)[0].x - 6 * math.log(2), abs=0.35)


def test_the_unit_of_lr_changes_nothing():
    ours, theirs = predict(rungs(-0.4), 6.0), predict(rungs(-0.4, first=math.log(30.0)), 6.0)
    shift = math.log(1000)
    assert theirs.overfitting == pytest.approx(ours.overfitting, abs=2e-4)
    assert theirs.likeliest.x == pytest.approx(ours.likeliest.x + shift, abs=1e-2)
    assert theirs.interval[0] == pytest.approx(ours.interval[0] + shift, abs=1e-2)


def test_a_rung_at_the_horizon_narrows_the_interval():
    below = rungs(-0.2)
    low, high = predict(below, 6.0).interval
    full = Measured(octaves=6.0, x=-4.0, spread=0.1)
    near_low, near_high = predict([*below, full], 6.0).interval
    assert near_high - near_low < 0.6 * (high - low)
    assert near_low < -4.0 < near_high


def test_without_a_rung_there_is_nothing_to_predict_from():
    with pytest.raises(ValueError, match="no rung"):
        predict([], 6.0)
