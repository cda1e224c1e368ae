"""Parallel coordinates: which numbers have an axis, where a trial lies on it, which are drawn."""

import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lr_reports import basin_trials, made_report, made_trial
from tiny_studies import tiny_spec

from lrsearch.recipe.recipe import Recipe
from lrsearch.report.figures import parallel_coordinates
from lrsearch.report.figures.data.coordinates import (
    BEST_SHARE,
    LEAST_TRIALS,
    MOST_AXES,
    MOST_BEST,
    MOST_LINES,
    Axis,
    coordinates,
)
from lrsearch.report.figures.data.searched_fields import searched_fields
from lrsearch.report.page.charts import draw
from lrsearch.trial.states import TrialState

LOG = {"low": 1e-4, "high": 1.0, "log": True}
SPACE = {
    "optimizers": {
        "sgd": {"lr": LOG, "momentum": {"low": 0.8, "high": 0.99, "log": True}, "nesterov": True},
        "adamw": {
            "lr": LOG,
            "beta1": {"choices": [0.8, 0.9]},
            "eps": 1e-8,
            "weight_decay": [1e-3, 1e-2, 1e-1],
        },
    },
    "schedules": {"constant": {}, "step": {"gamma": [0.1, 0.5], "step_size": 0.3}},
    "warmup": {"low": 0.0, "high": 0.2},
    "params": {"width": [8, 16, 32], "act": ["relu", "gelu"]},
    "groups": {"head": {"low": 0.1, "high": 10.0, "log": True}},
}


def fields():
    return {field.key: field for field in searched_fields(tiny_spec(space=SPACE).space)}


def recipe(optimizer, schedule, **changes):
    content = {"optimizer": optimizer, "schedule": schedule, "epochs": 1, **changes}
    return Recipe.from_dict(content)


def test_searched_numbers_have_an_axis_and_words_and_fixed_ones_none():
    scales = {key: field.scale for key, field in fields().items()}
    assert scales == {
        "lr": "log",
        "momentum": "complement",
        "beta1": "linear",
        "weight_decay": "log",
        "gamma": "linear",
        "warmup": "linear",
        "width": "linear",
        "head.lr_scale": "log",
    }


def test_a_recipe_is_read_with_what_torch_takes_where_it_says_nothing():
    known = fields()
    adamw = recipe({"name": "adamw", "lr": 0.1, "betas": [0.7, 0.99]}, {"name": "constant"})
    assert known["beta1"].of(adamw) == 0.7
    assert known["weight_decay"].of(adamw) == 0.01  # torch's own
    assert known["momentum"].of(adamw) is None
    assert known["gamma"].of(adamw) is None
    assert known["width"].of(adamw) is None
    assert known["head.lr_scale"].of(adamw) is None
    plain = recipe({"name": "adamw", "lr": 0.1}, {"name": "constant"})
    assert known["beta1"].of(plain) == 0.9
    sgd = recipe(
        {"name": "sgd", "lr": 0.2},
        {"name": "step", "gamma": 0.5, "step_size": 0.3},
        params={"width": 16},
        groups={"head": 3.0},
        warmup=0.1,
    )
    read = {key: field.of(sgd) for key, field in known.items()}
    assert read == {
        "lr": 0.2,
        "momentum": 0.0,
        "beta1": None,
        "weight_decay": 0.0,
        "gamma": 0.5,
        "warmup": 0.1,
        "width": 16.0,
        "head.lr_scale": 3.0,
    }


def test_a_schedule_with_a_warmup_of_its_own_has_none_of_the_recipes():
    one_cycle = recipe({"name": "sgd", "lr": 0.1}, {"name": "one_cycle"})
    assert fields()["warmup"].of(one_cycle) is None


@given(
    scale=st.sampled_from(["linear", "log", "complement"]),
    ends=st.lists(st.floats(1e-6, 1 - 1e-6), min_size=2, max_size=2, unique=True),
    values=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=5),
)
def test_places_are_between_0_and_1_and_in_the_order_of_values(scale, ends, values):
    if math.isclose(*ends, rel_tol=1e-6, abs_tol=1e-9):
        return
    axis = Axis(name="x", scale=scale, start=ends[0], end=ends[1])
    assert axis.place(ends[0]) == 0.0
    assert axis.place(ends[1]) == 1.0
    rising = sorted(values, reverse=ends[0] > ends[1])
    places = [place for value in rising if (place := axis.place(value)) is not None]
    assert places == sorted(places)
    assert all(0.0 <= place <= 1.0 for place in places)
    off = {"linear": [], "log": [0.0], "complement": [1.0]}[scale]
    assert [axis.place(value) for value in off] == [None] * len(off)


def searched(count, **changes):
    trials, marks = basin_trials(count, pruned=0.5)
    numbered = [
        type(trial).of(replace(trial, recipe={**trial.recipe, "params": {"width": 8 << i % 3}}))
        for i, trial in enumerate(trials)
    ]
    space = {**changes.pop("space", {}), "params": {"width": [8, 16, 32]}}
    optimizers = {"sgd": {"momentum": 0.9}, "adamw": {}}
    schedules = {"constant": {}, "cosine": {}}
    known = {"optimizers": optimizers, "schedules": schedules, **space}
    return made_report(numbered, marks=marks, space=known, **changes)


def test_the_best_tenth_is_marked_and_what_was_stopped_has_no_value():
    report = searched(60)
    found = coordinates(report)
    assert found.trials == 60
    assert found.best == math.ceil(BEST_SHARE * 60)
    assert [axis.name for axis in found.axes] == ["lr", "width", "val_loss"]
    ranked = [trial.number for trial in report.ranked]
    assert {line.trial for line in found.lines if line.is_best} == set(ranked[: found.best])
    assert sum(count for _, count in found.optimizers) == found.best
    for line in found.lines:
        complete = line.state == TrialState.COMPLETE
        assert (line.places[-1] is not None) == (line.value is not None) == complete
    assert {line.state for line in found.lines} > {TrialState.PRUNED, TrialState.DIVERGED}
    assert found.lines[-1].is_recommended
    assert found.lines[-1].places[-1] == 1.0  # the best is up
    assert found.axes[1].choices == (8.0, 16.0, 32.0)


def test_of_thousands_a_stated_number_is_drawn_with_the_very_best():
    report = searched(1000)
    found = coordinates(report)
    assert len(found.lines) == MOST_LINES
    best = [line for line in found.lines if line.is_best]
    assert len(best) == MOST_BEST < found.best == 100
    assert report.best.number in {line.trial for line in best}
    caption = parallel_coordinates.figure(report).caption
    assert (
        f"Drawn are {MOST_LINES} trials, {MOST_BEST} of the best, the first among them" in caption
    )


def test_few_trials_or_none_complete_or_one_number_make_no_figure():
    assert parallel_coordinates.figure(searched(LEAST_TRIALS - 1)) is None
    assert parallel_coordinates.figure(searched(LEAST_TRIALS)) is not None
    trials, marks = basin_trials(40)
    assert parallel_coordinates.figure(made_report(trials, marks=marks)) is None  # lr alone
    diverged = [made_trial(i, 0.1 + i, state="diverged", reason="x") for i in range(40)]
    assert parallel_coordinates.figure(made_report(diverged)) is None


def test_fields_that_few_trials_have_are_left_out_and_named():
    many = {f"size{i}": [1, 2, 3] for i in range(MOST_AXES)}
    report = searched(40, space={"params": many})
    trials = [
        type(trial).of(
            replace(
                trial,
                recipe={
                    **trial.recipe,
                    "params": {
                        f"size{i}": 1 + trial.id % 3 for i in range(MOST_AXES) if trial.id % 9 >= i
                    },
                },
            )
        )
        for trial in report.trials
    ]
    space = {"optimizers": {"sgd": {}, "adamw": {}}, "schedules": ["constant", "cosine"]}
    found = coordinates(made_report(trials, space={**space, "params": many}))
    assert len(found.axes) == MOST_AXES + 1
    assert found.axes[0].name == "lr"
    assert found.left_out == (f"size{MOST_AXES - 1}",)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_caption_says_what_the_best_share(direction):
    sign = 1.0 if direction == "minimize" else -1.0
    trials = [
        made_trial(
            i,
            10 ** (-3 + 3 * i / 40),
            sign * abs(i - 20),
            fields={"momentum": 0.9, "weight_decay": 10.0 ** -(1 + i % 4)},
        )
        for i in range(40)
    ]
    decay = {"low": 1e-5, "high": 1.0, "log": True}
    report = made_report(
        trials,
        space={"optimizers": {"sgd": {"weight_decay": decay}}, "schedules": ["constant"]},
        objective={"metric": "score", "direction": direction},
    )
    found = parallel_coordinates.figure(report)
    assert found.caption.startswith(
        "The best 4 of 40 ended trials are of sgd (4). All 4 of sgd have lr 0.0"
    )
    drawing = draw(found)
    assert "weight_decay" in drawing.svg
    assert json.loads(drawing.specification)["datasets"]


def test_values_beside_an_axis_have_room():
    for scale, start, end in (
        ("log", 1e-5, 0.7),
        ("linear", 0.02, 0.9),
        ("complement", 0.5, 0.9999),
        ("linear", 30.0, 1.0),
    ):
        axis = Axis(name="x", scale=scale, start=start, end=end)
        places = [tick.y for tick in parallel_coordinates.ticks_of(axis)]
        assert places[0] == 0.0
        assert places[-1] == 1.0
        assert len(places) > 2
        gaps = [b - a for a, b in pairwise(places)]
        assert min(gaps) >= parallel_coordinates.APART
        texts = [tick.text for tick in parallel_coordinates.ticks_of(axis)]
        assert len(set(texts)) == len(texts)
