"""The expected best of k trials, and how much a field matters, against slow and obvious ways."""

import math
import random
from itertools import combinations, product
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.advice.best_of import best_of, chance, expected_best
from lrsearch.advice.importance import LEAST_TRIALS, importance

losses = st.lists(st.floats(-10, 10), min_size=1, max_size=8)


@given(losses, st.data())
def test_the_expected_best_is_the_mean_over_all_choices(found, data):
    k = data.draw(st.integers(1, len(found)))
    slow = fmean(min(chosen) for chosen in combinations(found, k))
    assert expected_best(found, k) == pytest.approx(slow, abs=1e-9)


@given(losses, st.data())
def test_an_interval_holds_its_value_and_lies_within_the_losses(found, data):
    k = data.draw(st.integers(1, len(found)))
    best = best_of(found, k)
    assert min(found) - 1e-9 <= best.low <= best.value <= best.high <= max(found) + 1e-9


def test_more_trials_of_one_kind_are_no_advantage():
    draw = random.Random(0)
    few, many = ([draw.gauss(1, 0.1) for _ in range(count)] for count in (12, 400))
    assert min(many) < min(few)
    assert best_of(few, 5).low <= expected_best(many, 5) <= best_of(few, 5).high


@pytest.mark.parametrize("k", [0, 4])
def test_a_k_that_is_not_there_is_refused(k):
    with pytest.raises(ValueError, match="1 to 3, the number of trials, are accepted"):
        expected_best([1.0, 2.0, 3.0], k)


def draws(count=200, seed=0):
    draw = random.Random(seed)
    return [10 ** draw.uniform(-4, 0) for _ in range(count)], [draw.random() for _ in range(count)]


def test_a_field_that_decides_is_clear_and_one_that_does_not_is_noise():
    lrs, other = draws()
    lost = [abs(math.log10(lr) + 2) for lr in lrs]
    decides, idle = importance(lrs, lost), importance(other, lost)
    assert decides.divergence > 5 * decides.noise
    assert idle.divergence < 1.5 * idle.noise
    assert decides.divergence > 5 * idle.divergence


def test_a_category_that_decides_is_clear():
    lrs, _ = draws()
    words = [("adamw", "sgd", "rmsprop")[i % 3] for i in range(len(lrs))]
    lost = [float(word != "sgd") + lr for word, lr in zip(words, lrs, strict=True)]
    assert importance(words, lost).divergence > importance(words, lost).noise
    idle = importance(words, [lr % 0.01 for lr in lrs])
    assert idle.divergence < 2 * idle.noise


def test_a_random_field_is_above_its_noise_in_few_studies():
    above = 0
    for seed in range(40):
        values, lost = draws(60, seed)
        found = importance(values, lost[::-1])
        above += found.divergence > found.noise
    assert above <= 6  # of 40, of which 5 % are 2


def test_only_who_is_among_the_best_counts():
    lrs, _ = draws()
    lost = [abs(math.log10(lr) + 2) for lr in lrs]
    worst = [loss if loss < 1 else math.inf for loss in lost]
    assert importance(lrs, worst) == importance(lrs, lost)


def test_a_field_of_few_trials_or_of_one_value_tells_nothing():
    lrs, lost = draws(LEAST_TRIALS - 1)
    assert importance(lrs, lost) is None
    assert importance([0.9] * 50, draws(50)[1]) is None


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=7), st.data())
def test_chance_deals_as_all_deals_would(found, data):
    cut = data.draw(st.integers(1, len(found) - 1))
    first, second = found[:cut], found[cut:]
    k = data.draw(st.integers(1, min(len(first), len(second))))
    apart = abs(expected_best(first, k) - expected_best(second, k))
    places = range(len(found))
    deals = [
        abs(
            expected_best([found[i] for i in mine], k)
            - expected_best([found[i] for i in places if i not in mine], k)
        )
        for mine in combinations(places, cut)
    ]
    slow = fmean(each >= apart - 1e-9 for each in deals)
    assert chance(first, second, k) == pytest.approx(slow, abs=0.06)


def test_what_is_alike_is_seldom_told_apart_and_what_is_unlike_mostly():
    draw = random.Random(0)
    told = {0.0: 0, 2.0: 0}
    for apart, _ in product(told, range(100)):
        few, many = ([draw.gauss(mean, 1) for _ in range(n)] for mean, n in ((0, 6), (apart, 20)))
        told[apart] += chance(few, many, 4) <= 0.05
    assert told[0.0] <= 12  # of 100, of which 5 % are 5
    assert told[2.0] >= 70


def test_equal_trials_are_parted_by_chance_alone():
    assert chance([1.0] * 5, [1.0] * 9, 3) == 1.0
