"""The budget adviser and the warnings about edges: pure functions of a study's trials."""

import random
from dataclasses import replace
from itertools import combinations
from statistics import fmean

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ramps import make_ramp, make_result
from tiny_studies import ask, curve_row, ended, make_study

from lrsearch.advice.lr_edges import (
    RangeEdge,
    StabilityEdge,
    divergence_edge,
    range_edge,
    stability_edge,
)
from lrsearch.advice.more_trials import LEAST_TRIALS, Gain, expected_best, gain_of_doubling
from lrsearch.range_test.analysis import Spread
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.review import Advice, Warned
from lrsearch.report.summary import reviewed
from lrsearch.report.text.review import gain_line, warning_lines
from lrsearch.space.parse import parse_space
from lrsearch.study.prepare_database import open_database
from lrsearch.trial.states import TrialState

losses = st.lists(st.floats(-100, 100), min_size=16, max_size=36)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=7), st.data())
def test_the_expected_best_is_the_mean_over_all_choices(values, data):
    size = data.draw(st.integers(1, len(values)))
    every = fmean(min(chosen) for chosen in combinations(values, size))
    assert expected_best(sorted(values), size) == pytest.approx(every)


@given(losses, st.randoms(use_true_random=False), st.floats(0.5, 8), st.floats(-50, 50))
def test_a_gain_knows_no_order_and_goes_with_the_unit(values, chance, factor, shift):
    gain = gain_of_doubling(values)
    other = gain_of_doubling([factor * v + shift for v in chance.sample(values, len(values))])
    assert 0 <= gain.expected <= gain.high
    assert other.expected == pytest.approx(factor * gain.expected, rel=1e-3, abs=1e-6)
    assert other.high == pytest.approx(factor * gain.high, rel=1e-3, abs=1e-6)


@given(losses, st.integers(0, 30))
def test_what_pruning_stopped_is_no_better_than_the_best(values, count):
    best = min(values)
    lucky = gain_of_doubling(values, [best - 1.0] * count)
    assert lucky == gain_of_doubling(values, [best] * count)


def test_too_few_losses_say_nothing():
    assert gain_of_doubling([], [1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert gain_of_doubling([1.0, 2.0, 3.0], [4.0], without_value=40) is None
    assert gain_of_doubling([1.0, 2.0, 3.0], [4.0, 5.0], without_value=11).trials == 16
    assert gain_of_doubling([1.0, 2.0, 3.0], [4.0, 5.0], without_value=40) is None


@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_the_gain_of_known_distributions_is_about_right(power):
    chance, n = random.Random(0), 64

    def draw(count):
        return [chance.random() ** power for _ in range(count)]

    foretold = [gain_of_doubling(draw(n)).expected for _ in range(300)]
    true = fmean(min(draw(n)) for _ in range(3000)) - fmean(min(draw(2 * n)) for _ in range(3000))
    assert 0.7 < fmean(foretold) / true < 1.6


# Edges

SPACE = parse_space(
    {
        "optimizers": {
            "sgd": {"momentum": {"low": 0.5, "high": 0.99}},
            "adamw": {"lr": {"low": 1e-4, "high": 1e-1, "log": True}},
            "adam": {"lr": [1e-3, 1e-2, 1e-1]},
            "rmsprop": {"lr": {"low": 0.001, "high": 0.1}},
        }
    }
)


def recipe(name, lr, batch_size=64, **optimizer):
    fields = {"name": name, "lr": lr, **optimizer}
    return Recipe.from_dict({"optimizer": fields, "batch_size": batch_size})


@pytest.mark.parametrize(
    ("name", "lr", "side"),
    [
        ("adamw", 6e-2, "high"),
        ("adamw", 4e-2, None),
        ("adamw", 1.9e-4, "low"),
        ("adamw", 2.5e-4, None),
        ("adamw", 0.5, "high"),  # enqueued, beyond the range
        ("adam", 1e-1, None),  # choices have no edge
        ("adagrad", 0.1, None),  # not searched
        ("rmsprop", 0.06, None),  # of a linear range, within a third of a decade
        ("rmsprop", 0.095, "high"),
    ],
    ids=str,
)
def test_the_end_of_a_range_is_near_within_a_third_of_a_decade(name, lr, side):
    found = range_edge(recipe(name, lr), SPACE)
    assert (found and found.side) == side


@given(st.floats(1e-4, 1e-1), st.sampled_from(["low", "high"]))
def test_a_suggested_range_is_one_that_no_longer_warns(lr, side):
    found = range_edge(recipe("adamw", lr), SPACE)
    if found is None:
        return
    wider = parse_space({"optimizers": yaml.safe_load(found.line)})
    domain = wider.optimizers["adamw"]["lr"]
    assert domain.log
    assert domain.low <= 1e-4 <= 1e-1 <= domain.high
    assert range_edge(recipe("adamw", lr), wider) is None


def test_a_suggested_range_leaves_no_trial_behind_at_the_end_that_stays():
    lr = {"low": 0.00126, "high": 0.1249, "log": True}
    space = parse_space({"optimizers": {"adamw": {"lr": lr}}})
    for near, line in ((0.1, "low: 0.00126, high: 1.2"), (0.0013, "low: 0.00013, high: 0.1249")):
        found = range_edge(recipe("adamw", near), space)
        assert found.line == f"adamw: {{lr: {{{line}, log: true}}}}"


def test_an_edge_is_at_the_recipes_own_momentum_and_batch_size():
    domain = SPACE.optimizers["sgd"]["lr"]
    for momentum, batch, scale in ((0.9, 64, 1.0), (0.99, 64, 10.0), (0.9, 32, 2.0)):
        top = domain.high / scale
        near = recipe("sgd", 0.9 * top, batch, momentum=momentum)
        far = recipe("sgd", 0.3 * top, batch, momentum=momentum)
        assert range_edge(near, SPACE).edge == pytest.approx(top)
        assert range_edge(far, SPACE) is None


rates = st.lists(st.tuples(st.floats(1e-5, 10), st.booleans()), max_size=30)


@given(rates)
def test_an_edge_parts_what_diverged_from_what_trained_as_well_as_any(trials):
    edge = divergence_edge(trials)

    def wrong(limit):
        return sum((lr >= limit) != bad for lr, bad in trials)

    best = min((wrong(lr) for lr, _ in trials), default=0)
    diverged = sum(bad for _, bad in trials)
    if edge is None:
        assert best >= diverged
    else:
        assert wrong(edge) == best < diverged


def test_a_stray_divergence_is_no_edge():
    trained = [(lr, False) for lr in (1e-3, 1e-2, 1e-1)]
    assert divergence_edge([(1e-4, True), *trained]) is None
    assert divergence_edge([*trained, (0.3, True), (0.9, True)]) == 0.3
    assert divergence_edge([(1e-4, True), *trained, (0.3, True), (0.9, True)]) == 0.3


def test_the_stability_edge_is_the_trials_or_else_the_range_tests():
    mine = recipe("sgd", 0.1, momentum=0.9)
    trained = [(recipe("sgd", 0.01, momentum=0.9), False), (recipe("adamw", 0.02), True)]
    # At momentum 0.99 a tenth of the lr goes as far.
    diverged = [(recipe("sgd", 0.015, momentum=0.99), True)]
    tested = replace(
        make_result(make_ramp(1e-2, 1.0), optimizer="sgd"),
        optimizer={"name": "sgd", "momentum": 0.9},
        batch_size=64,
        edge=Spread(low=0.2, median=0.2, high=0.2),
    )
    found = stability_edge(mine, SPACE, trained + diverged, tested)
    assert (found.edge, found.diverged) == (pytest.approx(0.15), 1)
    found = stability_edge(mine, SPACE, trained, tested)
    assert (found.edge, found.diverged) == (pytest.approx(0.2), 0)
    beyond = [*trained, (recipe("sgd", 0.5, momentum=0.9), False)]
    assert stability_edge(mine, SPACE, beyond, tested) is None  # trials know better
    assert stability_edge(mine, SPACE, trained, None) is None
    assert stability_edge(recipe("sgd", 0.05), SPACE, trained, tested) is None  # far below


# Words

GAIN = Gain(trials=60, expected=0.003, high=0.008)


@pytest.mark.parametrize(
    ("seed_sd", "end"),
    [
        (None, "(95 % interval 0 to 0.008)."),
        (0.0, "(95 % interval 0 to 0.008)."),
        (0.01, "less than the noise of a seed (standard deviation 0.01)."),
        (0.001, "more than the noise of a seed (standard deviation 0.001)."),
    ],
    ids=["no seeds", "no noise", "less", "more"],
)
def test_the_gain_is_set_beside_the_noise_of_a_seed(seed_sd, end):
    line = gain_line(Advice(gain=GAIN, seed_sd=seed_sd, warnings=()), "val_loss")
    assert line.startswith("Twice as many trials are expected to improve val_loss by 0.003")
    assert line.endswith(end)


def test_a_warning_says_where_and_what_to_do():
    text = "sgd: {lr: {low: 0.001, high: 10, log: true}}"
    edges = [
        RangeEdge(side="high", edge=1.0, line=text),
        StabilityEdge(edge=1.2, diverged=4),
        StabilityEdge(edge=1.2, diverged=0),
    ]
    warnings = tuple(Warned(trial=3, optimizer="sgd", lr=0.9, edge=edge) for edge in edges)
    advice = Advice(gain=None, seed_sd=None, warnings=warnings)
    wide, fragile, tested = warning_lines(advice)
    assert "upper end of the range" in wide
    assert wide.endswith(text)
    assert "from 1.2 on 4 trials diverged" in fragile
    assert "from 1.2 on the loss of the range test climbs" in tested


# A study


def test_a_study_says_what_more_trials_would_bring_and_where_its_answer_lies(tmp_path):
    lr = {"low": 1e-3, "high": 10.0, "log": True}
    space = {"optimizers": {"sgd": {"lr": lr, "momentum": 0.9}}, "schedules": {"constant": {}}}
    given = [
        {"optimizer": {"name": "sgd", "lr": lr, "momentum": 0.9}, "schedule": "constant"}
        for lr in [6.0] + [0.1 * 1.05**i for i in range(LEAST_TRIALS)]
    ]
    database = open_database(f"sqlite:///{tmp_path}/study.db", create=True)
    search = make_study(database, space=space, enqueue=given, budget={"trials": 40})
    for i in range(LEAST_TRIALS):
        trial = ask(search)
        before = reviewed(search)["advice"] if i == LEAST_TRIALS - 1 else None
        search.tell(trial, ended(TrialState.COMPLETE), [curve_row(1, val_loss=0.5 + 0.01 * i)])
    assert before["gain"] is None
    advice = reviewed(search)["advice"]
    assert (advice["gain"]["trials"], advice["seed_sd"]) == (LEAST_TRIALS, None)
    assert advice["gain"]["ci95"] == [0.0, pytest.approx(0.05)]
    (warning,) = advice["warnings"]
    assert (warning["kind"], warning["trial"], warning["lr"]) == ("range", 0, 6.0)
    assert warning["line"] == "sgd: {lr: {low: 0.001, high: 100, log: true}}"
    search.tell(ask(search), ended(TrialState.DIVERGED))
    assert reviewed(search)["advice"]["warnings"] == [warning]  # lr 0.2: no edge above 6
    database.close()
