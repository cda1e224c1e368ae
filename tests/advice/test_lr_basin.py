"""The basin of learning rates: of losses whose truth is known, and where nothing can be told."""

import math
import random

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lrsearch.advice.likely_curves import likely_curves
from lrsearch.advice.lr_basin import LEAST_RATES, LEAST_TRIALS, fit_basin


def parabola(count, best=1e-2, steep=0.5, noise=0.03, seed=0, spoiled=0.1):
    """Log losses on a parabola in log10 lr; some trials went wrong and lose twice as much."""
    draw = random.Random(seed)
    lrs, losses = [], []
    for _ in range(count):
        apart = draw.uniform(-2, 2)
        loss = 0.1 * math.exp(steep * apart**2 + draw.gauss(0, noise))
        lrs.append(best * 10**apart)
        losses.append(loss * (2 if draw.random() < spoiled else 1))
    return lrs, losses


def width(steep, worse):
    """Decades in which the parabola is at most so much worse than its lowest."""
    return 2 * math.sqrt(math.log1p(worse) / steep)


@settings(max_examples=15, phases=[Phase.generate])
@given(
    best=st.floats(-5, 0).map(lambda x: 10**x),
    steep=st.floats(0.3, 1.5),
    seed=st.integers(0, 1000),
)
def test_a_parabola_gives_its_lowest_learning_rate_and_its_widths(best, steep, seed):
    basin = fit_basin(*parabola(80, best, steep, noise=0.01, seed=seed, spoiled=0))
    assert abs(math.log10(basin.best.value / best)) < 0.15
    assert basin.best.low <= basin.best.value <= basin.best.high
    for safe in basin.safe:
        true = width(steep, safe.worse)
        assert safe.decades.value == pytest.approx(true, rel=0.3)
        assert safe.decades.value == pytest.approx(math.log10(safe.high / safe.low), abs=1e-6)
        assert not safe.open_low
        assert not safe.open_high


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    held = wide = 0
    for seed in range(20):
        basin = fit_basin(*parabola(20, seed=seed, noise=0.05))
        held += basin.best.low <= 1e-2 <= basin.best.high
        wide += basin.safe[1].decades.low <= width(0.5, 0.05) <= basin.safe[1].decades.high
    assert held >= 17
    assert wide >= 17


def test_near_a_wall_the_interval_of_the_width_holds_the_truth():
    """Of a smoother curve, a squared exponential, the interval held it in none."""
    held = 0
    for seed in range(12):
        draw = random.Random(seed)
        apart = [draw.uniform(-2, 2) for _ in range(40)]
        slopes = [0.2 * -a if a < 0 else 3.0 * a for a in apart]
        losses = [0.1 * math.exp(slope + draw.gauss(0, 0.08)) for slope in slopes]
        near = fit_basin([10**a for a in apart], losses).safe[0].decades
        held += near.low <= math.log1p(0.01) * (1 / 0.2 + 1 / 3.0) <= near.high
    assert held >= 10


def test_a_wall_beside_a_flat_bottom_does_not_bend_it():
    draw = random.Random(1)
    lrs = [10 ** draw.uniform(-4, 0) for _ in range(100)]
    losses = [
        0.1 + 0.02 * abs(math.log10(lr) + 2) + (2.0 * max(0.0, math.log10(lr) + 1)) for lr in lrs
    ]
    basin = fit_basin(lrs, losses)
    assert 10**-2.5 < basin.best.value < 10**-1.5
    assert basin.safe[1].high < 10**-0.9


def test_a_range_that_ends_with_the_trials_is_open():
    lrs = [10 ** (-4 + i / 10) for i in range(20)]
    falling = [1.0 / (1 + i) for i in range(20)]
    basin = fit_basin(lrs, falling)
    assert basin.safe[1].open_high
    assert not basin.safe[1].open_low
    assert basin.safe[1].high == pytest.approx(lrs[-1])


@pytest.mark.parametrize("turn", [lambda loss: -1 / loss, lambda loss: loss - 5.0])
def test_losses_below_0_have_a_basin_too(turn):
    lrs, losses = parabola(40, spoiled=0)
    basin = fit_basin(lrs, [turn(loss) for loss in losses])
    assert abs(math.log10(basin.best.value / 1e-2)) < 0.3


def test_what_is_guessed_counts_less():
    lrs, losses = parabola(30, spoiled=0)
    wrong = [loss * 3 for loss in losses[:6]]
    guessed = [False] * 30 + [True] * 6
    sure = fit_basin(lrs, losses)
    mixed = fit_basin(lrs + lrs[:6], losses + wrong, guessed)
    fooled = fit_basin(lrs + lrs[:6], losses + wrong)
    far = [max(p.loss / q.loss for p, q in zip(b.curve, sure.curve, strict=True)) for b in
           (mixed, fooled)]  # fmt: skip
    assert far[0] <= far[1]


@pytest.mark.parametrize("count", [0, 1, 3, LEAST_TRIALS - 1])
def test_few_trials_have_no_basin(count):
    assert fit_basin(*parabola(count)) is None


def test_trials_at_few_learning_rates_have_no_basin():
    lrs = [10**-i for i in range(1, LEAST_RATES)] * 5
    assert fit_basin(lrs, [1.0 + i for i in range(len(lrs))]) is None


def test_equal_losses_have_a_flat_basin():
    basin = fit_basin([10 ** (-i / 4) for i in range(12)], [0.5] * 12)
    assert [point.loss for point in basin.curve] == pytest.approx(
        [0.5] * len(basin.curve), rel=0.01
    )
    assert basin.safe[1].open_low
    assert basin.safe[1].open_high


def test_equal_trials_give_equal_basins_whatever_their_order():
    lrs, losses = parabola(40)
    pairs = list(zip(lrs, losses, strict=True))
    random.Random(0).shuffle(pairs)
    shuffled = fit_basin(*zip(*pairs, strict=True))
    assert shuffled.best.value == pytest.approx(fit_basin(lrs, losses).best.value)
    assert fit_basin(lrs, losses) == fit_basin(lrs, losses)


def test_a_thousand_trials_are_told_as_sharply_as_they_allow():
    few, many = (fit_basin(*parabola(count)) for count in (40, 4000))
    spread = [math.log10(basin.best.high / basin.best.low) for basin in (few, many)]
    assert spread[1] < 0.5 * spread[0]
    assert many.best.low <= 1.03e-2
    assert many.best.high >= 0.97e-2


def test_a_single_model_agrees_with_the_textbook_formula(monkeypatch):
    """Of one departure, length and noise, without tails: Rasmussen and Williams' (2.25, 4.17)."""
    from lrsearch.advice import likely_curves as module

    draw = np.random.default_rng(3)
    x, y = np.sort(draw.uniform(-1, 1, 12)), draw.normal(0, 1, 12)
    grid = np.linspace(-1, 1, 9)
    model = module._Model(departure=0.7, length=0.5, noise=0.3, score=0.0)
    monkeypatch.setattr(module, "_likely", lambda *_: [model])
    monkeypatch.setattr(module, "TAIL_DEGREES", 1e12)
    monkeypatch.setattr(module, "DRAWS", 20_000)
    drawn = likely_curves(x, y, np.ones(12), grid)
    middle = (x.min() + x.max()) / 2

    def kernel(a, b):
        product = (a - middle) * (b - middle)
        parabola = 100.0 * (1 + product + product**2)
        gap = math.sqrt(3) * abs(a - b) / 0.5
        return parabola + 0.49 * (1 + gap) * math.exp(-gap)

    inner = np.array([[kernel(a, b) for b in x] for a in x]) + 0.09 * np.eye(12)
    cross = np.array([[kernel(g, a) for a in x] for g in grid])
    expected = cross @ np.linalg.solve(inner, y)
    assert drawn.mean(axis=0) == pytest.approx(expected, abs=0.03)
