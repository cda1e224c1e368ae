"""What is read from LR ramps whose truth is known, and the window that comes of it."""

import json
import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ramps import LRS, from_losses, make_ramp, near

from lrsearch.range_test.analysis import (
    FACTOR,
    START_STEPS,
    RangeTest,
    grid,
    has_ended,
    judge,
    read,
    seeds_wanted,
    smoothed,
)

#: A loss that says nothing: noise about its start.
FLAT = make_ramp(falls=1e9, climbs=1e9, noise=0.1)


@given(st.floats(1e-8, 1.0), st.floats(1.5, 1e8))
def test_a_grid_covers_its_range_in_equal_steps(low, width):
    lrs = grid(low, low * width)
    assert lrs[0] == low
    assert lrs[-2] < low * width * (1 + 1e-8) <= lrs[-1] * (1 + 2e-8)
    for before, after in pairwise(lrs):
        assert after / before == pytest.approx(FACTOR)


def test_the_smoothed_loss_has_no_bias_at_its_start():
    assert smoothed([3.0] * 40) == pytest.approx([3.0] * 40)
    assert smoothed([1.0, 2.0]) == pytest.approx([1.0, (0.9 + 2.0) / 1.9])


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
    assert low == pytest.approx(max(reading.min_over_10 / 10, LRS[0]))
    assert high == pytest.approx(min(20 * reading.min_over_10, reading.edge))


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
    losses = [*make_ramp(climbs=1e9).losses[:90], math.inf]
    assert near(read(from_losses(losses)).edge, LRS[90], 1.5)


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
    losses[60] = 50.0  # lr 0.04
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
    assert not has_ended([-3.0] * 20 + [5.0] * 3)


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
    assert "less than twice the noise" in result.reason


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
        assert LRS[0] <= low < high <= max(ramp.lrs[-1] for ramp in ramps)
    for spread in (result.edge, result.min_over_10, result.valley, result.steepest):
        assert spread is None or spread.low <= spread.median <= spread.high
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    again = RangeTest.from_dict(content)
    assert again.to_dict() == result.to_dict()
    assert (again.window, again.edge) == (result.window, result.edge)
