"""What is read from LR ramps whose truth is known, and the window that comes of it."""

import json
import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ramps import LRS, from_losses, make_ramp, near

from lrsearch.range_test.analysis import RangeTest, judge, seeds_wanted
from lrsearch.range_test.reading import (
    BEYOND_EDGE,
    BEYOND_EDGE_SCALED,
    FACTOR,
    START_STEPS,
    Ramp,
    beyond_edge,
    grid,
    has_ended,
    read,
    smoothed,
    starts_too_high,
)

#: A loss that says nothing: noise about its start.
FLAT = make_ramp(falls=1e9, climbs=1e9, noise=0.1)


@given(st.floats(1e-8, 1.0), st.integers(1, 60))
def test_a_grid_rises_in_equal_steps(low, steps):
    lrs = grid(low, steps)
    assert (lrs[0], len(lrs)) == (low, steps)
    for before, after in pairwise(lrs):
        assert after / before == pytest.approx(FACTOR)


def test_the_smoothed_loss_has_no_bias_at_its_start():
    assert smoothed([3.0] * 40) == pytest.approx([3.0] * 40)
    assert smoothed([1.0, 2.0]) == pytest.approx([1.0, (0.7 + 2.0) / 1.7])


# One ramp


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
@pytest.mark.parametrize(("falls", "climbs"), [(1e-3, 1e-1), (1e-2, 1.0), (1e-1, 1.0)])
def test_a_known_edge_and_minimum_are_found(falls, climbs, noise):
    reading = read(make_ramp(falls, climbs, noise=noise))
    # Half of the fall is climbed back just below `climbs`, where all of it is.
    assert near(reading.edge, climbs, 1.7)
    losses = make_ramp(falls, climbs).losses
    # The smoothed loss lags by some ten steps.
    assert near(10 * reading.min_over_10, LRS[losses.index(min(losses))], 3)
    assert LRS[0] < reading.valley < 10 * reading.min_over_10
    assert near(reading.steepest, falls, 4) or noise
    assert reading.clear
    low, high = reading.window
    assert low == pytest.approx(max(reading.min_over_10 / 30, LRS[0]))
    assert high == pytest.approx(BEYOND_EDGE * reading.edge)


def test_the_rules_do_not_depend_on_the_losss_scale_or_sign():
    ramp = make_ramp(noise=0.05)
    expected = read(ramp)
    for scale, shift in ((1e-3, 0.0), (1e3, 0.0), (1.0, -20.0)):
        moved = from_losses([scale * loss + shift for loss in ramp.losses])
        assert read(moved) == expected


def test_a_loss_that_only_falls_has_no_edge():
    reading = read(make_ramp(climbs=1e9))
    assert reading.edge is None
    assert reading.window[1] == LRS[-1]


def test_a_loss_that_leaves_the_finite_has_its_edge_there():
    losses = [*make_ramp(climbs=1e9).losses[:45], math.inf]
    assert read(from_losses(losses)).edge == LRS[45]


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_ramp_that_is_not_finite_at_once_says_nothing(bad):
    for steps in (0, 1, START_STEPS - 1):
        ramp = from_losses([2.3] * steps + [bad])
        assert read(ramp) is None
        result = judge({"name": "sgd"}, [ramp])
        assert result.window is None
        assert "not finite before" in result.reason


def test_noise_alone_is_no_fall():
    for seed in range(20):
        assert not read(make_ramp(1e9, 1e9, noise=0.1, seed=seed)).clear


def test_a_single_bad_batch_is_no_edge():
    losses = list(make_ramp(1e-3, 1.0).losses)
    losses[30] = 50.0  # lr 0.026
    assert near(read(from_losses(losses)).edge, 1.0, 1.7)


# When a ramp may end


def test_a_ramp_ends_when_it_diverged_and_not_before():
    ramp = make_ramp()
    ended = [step for step in range(len(LRS) + 1) if has_ended(ramp.losses[:step])]
    assert ended == list(range(ended[0], len(LRS) + 1))
    assert read(from_losses(ramp.losses[: ended[0]])) == read(ramp)
    assert has_ended([2.0, math.nan])
    assert not has_ended([])
    assert not has_ended([2.0] * 20 + [1e6, 1e6, 2.0])  # two bad batches
    assert has_ended([-3.0] * 20 + [7.0] * 3)
    assert not has_ended([-3.0] * 20 + [-0.5] * 3)


def test_a_ramp_of_noise_does_not_end():
    for seed in range(50):
        assert not has_ended(make_ramp(1e9, 1e9, noise=0.2, seed=seed).losses)


# Recorded ramps, by lr from which on: SGD and AdamW on small networks


def ramp_of(start, text):
    losses = [float(loss) for loss in text.split()]
    return Ramp(seed=0, lrs=grid(start, len(losses)), losses=tuple(losses))


#: SGD on raw data: a burst in the second step kills the network, whose loss is then its bias's.
IMMEDIATE = ramp_of(
    3.2e-4, "2.49e4 5.37e8 3.46e4 3.55e4 5.13e4 7.72e4 8.64e4 1.09e5 1.5e5 1.67e5 2.13e5 2.69e5"
)
#: AdamW on a thin deep network: it does not learn within a ramp, until it blows up.
PLATEAU = ramp_of(
    3.16e-5,
    "2.37 2.29 2.34 2.34 2.30 2.30 2.32 2.29 2.34 2.38 2.35 2.30 2.24 2.35 2.33 2.31 2.30 "
    "2.32 2.31 2.34 2.31 2.27 2.32 2.31 2.32 2.33 2.30 2.30 2.31 2.31 2.34 2.30 2.31 2.30 "
    "2.35 2.33 3.37 2.29 3.17 2.32 2.28 2.36 2.56 3.01 3.87 2.47 2.45 2.91 3.20 8.25 5.77 "
    "9.16",
)
#: AdamW on raw data: noisy; it falls to a quarter, climbs from lr 0.05 on, and falls again.
NOISY = ramp_of(
    3.16e-5,
    "34200 29000 35200 26800 27400 34300 29200 31300 31200 31900 34600 34200 32300 39700 "
    "34200 24600 29800 16800 26000 20200 24000 27800 20400 15500 9020 4800 3980 11700 20900 "
    "22700 18100 4840 9700 6850 15000 10400 4310 23100 4730 11800 12900 5780 25300 30400 "
    "23700",
)
#: Half of a photograph's losses: they fall by a tenth, by hardly more than their noise.
SLIGHT = ramp_of(
    3.16e-5,
    "0.68 0.67 0.70 0.68 0.70 0.67 0.69 0.68 0.66 0.69 0.66 0.67 0.63 0.65 0.66 0.64 0.71 "
    "0.59 0.70 0.60 0.67 0.61 0.67 0.59 0.60 0.58 0.65 0.53 0.68 0.84 0.82 0.63 0.75 1.0 1.1 "
    "1.1 0.85 4.6 7.6",
)


def test_a_burst_in_the_first_steps_asks_for_lower_rates():
    assert starts_too_high(IMMEDIATE)
    assert [has_ended(IMMEDIATE.losses[:steps]) for steps in (1, 2, 3)] == [False, True, True]
    assert starts_too_high(from_losses([2.3, math.inf]))
    assert starts_too_high(from_losses([2.3, 2.2, math.nan]))
    for ramp in (PLATEAU, NOISY, SLIGHT, make_ramp(noise=0.2)):
        assert not starts_too_high(ramp)
    assert read(IMMEDIATE).edge <= IMMEDIATE.lrs[1]
    lower = from_losses([*[2.5e4, 2.4e4, 2.6e4, 2.5e4] * 5, 5e8, *[3e4] * 10])
    assert lower.lrs[19] < read(lower).edge <= lower.lrs[20]


def test_a_plateau_has_an_edge_where_it_blows_up_and_no_window():
    reading = read(PLATEAU)
    assert not reading.clear
    assert 4 < reading.edge < 20
    result = judge({"name": "adamw"}, [PLATEAU])
    assert (result.window, result.edge.median) == (None, reading.edge)


def test_the_edge_is_the_first_climb_not_a_later_one():
    reading = read(NOISY)
    assert reading.clear
    assert near(reading.edge, 0.05, 1.4)


def test_noise_of_a_slight_fall_is_no_edge():
    edge = read(SLIGHT).edge
    assert edge is None or edge > 0.04


def test_rates_go_by_the_edge_further_where_the_optimizer_scales_its_step():
    assert (beyond_edge("sgd"), beyond_edge("asgd")) == (BEYOND_EDGE, BEYOND_EDGE)
    assert beyond_edge("adamw") == beyond_edge("rmsprop") == BEYOND_EDGE_SCALED
    ramp = make_ramp()
    sgd, adamw = (judge({"name": name}, [ramp]) for name in ("sgd", "adamw"))
    assert sgd.window[1] == pytest.approx(BEYOND_EDGE * sgd.edge.median)
    assert adamw.window[1] == pytest.approx(BEYOND_EDGE_SCALED * adamw.edge.median)


# Seeds


def count_seeds(*ramps):
    """How many of these a test would train."""
    trained = []
    while len(trained) < seeds_wanted(trained):
        trained.append(ramps[len(trained)])
    return len(trained)


def test_seeds_are_added_where_one_says_little_or_they_differ():
    clear = make_ramp(noise=0.05)
    assert count_seeds(clear) == 1
    slow = make_ramp(1e-5, 10.0)  # it falls from the first step on: valley far below min/10
    assert count_seeds(slow, slow, slow) == 3
    assert count_seeds(FLAT, clear, clear, clear, clear) == 5
    assert count_seeds(FLAT, FLAT, FLAT) == 3
    assert count_seeds(slow, clear, make_ramp(1e-3, 0.1), clear, clear) == 5


def test_the_window_is_the_union_of_the_clear_seeds_windows():
    ramps = [make_ramp(1e-2, 1.0), make_ramp(2e-2, 2.0), FLAT]
    result = judge({"name": "sgd"}, ramps)
    first, second = (read(ramp) for ramp in ramps[:2])
    assert result.window == (first.window[0], second.window[1])
    assert (result.edge.low, result.edge.high) == (first.edge, second.edge)
    assert result.edge.low < result.edge.median < result.edge.high
    assert result.reason is None


def test_seeds_that_all_say_nothing_give_no_window():
    result = judge({"name": "sgd"}, [FLAT])
    assert (result.window, result.edge, result.valley) == (None, None, None)
    assert "less than four times the noise" in result.reason


losses = st.lists(
    st.floats(-1e6, 1e6) | st.floats(0.1, 3.0), min_size=1, max_size=len(LRS)
).flatmap(lambda found: st.sampled_from([found, [*found[:-1], math.inf], [*found[:-1], math.nan]]))


@given(st.lists(losses, min_size=1, max_size=3))
@example([[2.0] * len(LRS)])
@example([[0.0] * len(LRS)])
@example([sorted(range(len(LRS)), reverse=True)])
def test_a_window_is_ordered_and_inside_what_was_tested(drawn):
    ramps = [from_losses(each) for each in drawn]
    assert 1 <= seeds_wanted(ramps) <= 5
    result = judge({"name": "sgd"}, ramps)
    assert (result.window is None) is (result.reason is not None)
    if result.window is not None:
        low, high = result.window
        assert LRS[0] <= low < high <= BEYOND_EDGE * max(ramp.lrs[-1] for ramp in ramps)
    for spread in (result.edge, result.min_over_10, result.valley, result.steepest):
        assert spread is None or spread.low <= spread.median <= spread.high
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    again = RangeTest.from_dict(content)
    assert again.to_dict() == result.to_dict()
    assert (again.window, again.edge) == (result.window, result.edge)
