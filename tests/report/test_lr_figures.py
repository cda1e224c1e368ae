"""Figures about learning rates: what they draw as plain values, and that each can be drawn."""

import json
import math
from dataclasses import replace

import numpy
import pytest
import vl_convert
from confirmed_runs import run
from hypothesis import given, settings
from hypothesis import strategies as st
from lr_reports import BEST, basin_trials, made_report, made_trial
from ramps import make_ramp, make_result

from lrsearch.recipe.lr_factors import SHAPES, lr_factors
from lrsearch.report.colours import COLOURS
from lrsearch.report.figures import (
    confirmation,
    importance,
    looks,
    lr_basin,
    lr_basin_by_schedule,
    optimizers_by_schedules,
    range_test,
    schedules,
    shape,
)
from lrsearch.report.figures.data.basins import (
    LEAST_COMPLETE,
    optimizer_panels,
    rates_near_best,
    schedule_panels,
)
from lrsearch.report.figures.data.best_of import by_lr, by_optimizer, by_pair, by_schedule
from lrsearch.report.figures.data.candidates import candidates_of
from lrsearch.report.figures.data.importances import importances
from lrsearch.report.figures.figure import OPTIMIZER, SCHEDULE, TRIAL
from lrsearch.report.figures.lr_marks import axis_of, points_of
from lrsearch.report.figures.schedules import kept
from lrsearch.report.plots.lr_sequences import MOST_POINTS
from lrsearch.trial.states import TrialState

ACCURACY = {"metric": "accuracy", "direction": "maximize"}
FIGURES = (
    lr_basin,
    lr_basin_by_schedule,
    optimizers_by_schedules,
    shape,
    confirmation,
    importance,
    range_test,
)


def basin_report(count, *, runs=(), **how):
    trials, marks = basin_trials(count, **how)
    return made_report(trials, marks=marks, runs=runs, range_tests=[make_result()])


def as_accuracy(report):
    """The same study with the metric turned: what lost least scores highest."""
    turned = [
        replace(trial, value=None if trial.value is None else 2 - trial.value)
        for trial in report.trials
    ]
    marks = [(mark.trial - 1, mark.rung, mark.signal - 2) for mark in report.marks]
    return made_report(turned, marks=marks, objective=ACCURACY)


def chosen_runs(numbers):
    """A confirmation of these trials: two rounds that choose, and runs that report."""
    first, second, *_ = numbers
    chosen = [run(number, 4, 0.2 + i / 100) for i, number in enumerate(numbers)]
    chosen += [run(number, seed, 0.2 + i / 100 + seed / 1000) for seed in (5, 6)
               for i, number in enumerate((first, second))]  # fmt: skip
    reported = [run(first, seed, 0.21 + seed / 1000, "report", "winner") for seed in (7, 8, 9)]
    return [*chosen, *reported]


def test_a_panel_for_each_optimizer_finds_its_best_learning_rate():
    panels = {panel.optimizer: panel for panel in optimizer_panels(basin_report(120, pruned=0.5))}
    assert list(panels) == ["sgd", "adamw"]
    for name, panel in panels.items():
        assert abs(math.log10(panel.basin.best.value / BEST[name])) < 0.2
        assert panel.divergence.diverged == panel.count(TrialState.DIVERGED) > 0
        assert panel.divergence.curve[-1].share > 0.8
        assert not panel.equivalent  # one momentum


def test_a_pruned_trial_stands_where_it_would_have_ended_and_not_at_its_own_value():
    report = basin_report(120, pruned=0.8)
    by_number = {trial.trial: trial for trial in report.lr_trials}
    pruned = [trial for trial in report.trials if trial.state == TrialState.PRUNED]
    assert len(pruned) > 10
    for trial in pruned:
        stood = by_number[trial.number]
        assert stood.value == pytest.approx(trial.value / 3, rel=0.3)  # as it was made
        assert stood.standing.complete > 10
        assert stood.progress == pytest.approx(0.125)
    [panel, _] = optimizer_panels(report)
    axis = axis_of([panel], report.spec.objective)
    notes = [point.note for point in points_of(panel, axis, 500) if point.state == "pruned"]
    assert all("complete trials were better there" in note for note in notes)


def test_a_trial_without_a_value_or_with_a_worse_one_stands_at_the_worse_edge():
    for report in (basin_report(80), as_accuracy(basin_report(80))):
        panels = optimizer_panels(report)
        axis = axis_of(panels, report.spec.objective)
        better = report.spec.objective.better
        assert better(axis.better, axis.worse)
        assert better(axis.worse, axis.end)
        worse = 0
        for panel in panels:
            points = {point.trial: point for point in points_of(panel, axis, 500)}
            for trial in panel.trials:
                at_edge = trial.value is None or better(axis.worse, trial.value)
                assert at_edge >= (trial.state == TrialState.DIVERGED)
                worse += at_edge and trial.value is not None
                assert points[trial.trial].y == (axis.worse if at_edge else trial.value)
        assert worse > 0
        assert f"{worse} trials with a worse value" in lr_basin.figure(report).caption


@settings(max_examples=10)
@given(st.lists(st.floats(0.0, 0.99), min_size=2, max_size=12))
def test_sgd_is_compared_at_one_momentum(momenta):
    space = {"optimizers": {"sgd": {}}, "schedules": {"constant": {}, "cosine": {}}}
    trials = [
        made_trial(i, 0.1 * (1 - momentum), 0.5, fields={"momentum": momentum})
        for i, momentum in enumerate(momenta)
    ]
    [panel] = optimizer_panels(made_report(trials, space=space))
    if panel.equivalent:
        assert [trial.at for trial in panel.trials] == pytest.approx([0.01] * len(trials))
        assert [edge.kind for edge in panel.edges] == ["range", "range"]
    else:
        assert max(momenta) - min(momenta) < 0.01
    # What it says of a recipe is in torch's units, for the recipe's own momentum.
    assert [trial.lr for trial in panel.trials] == [trial.parsed.lr for trial in trials]


def test_rates_near_best_are_those_of_the_recommended_recipe():
    report = basin_report(120)
    found = rates_near_best(report)
    recipe = report.recommended
    assert (found.optimizer, found.schedule) == (recipe.optimizer_name, recipe.schedule_name)
    assert found.large.low < found.small.low < BEST[found.optimizer] < found.small.high
    assert found.small.high < found.large.high
    assert (found.small.worse, found.large.worse) == (0.01, 0.05)
    turned = rates_near_best(as_accuracy(report))
    assert turned.optimizer == found.optimizer
    assert turned.large.low < BEST[turned.optimizer] < turned.large.high


def test_rates_near_best_of_a_recipe_are_at_its_own_momentum():
    space = {"optimizers": {"sgd": {}}, "schedules": {"constant": {}}}
    trials = []
    for i in range(40):
        momentum, apart = (0.0, 0.9)[i % 2], (i - 20) / 15
        lr = 0.05 * 10**apart * (1 - momentum) / 0.1  # the same step at each momentum
        loss = 0.2 * math.exp(apart**2) + 0.01 * (i % 2)
        trials.append(made_trial(i, lr, loss, fields={"momentum": momentum}))
    report = made_report(trials, space=space)
    assert report.recommended.optimizer["momentum"] == 0.0
    found = rates_near_best(report)
    assert found.large.low < 0.5 < found.large.high < 2.0


def test_no_rate_is_called_safe_by_guesses_alone():
    trials, marks = basin_trials(120, diverges=False)
    few = [
        trial if i < LEAST_COMPLETE - 1 else replace(trial, state="pruned")
        for i, trial in enumerate(trials)
    ]
    report = made_report(few, marks=marks)
    assert any(panel.basin is not None and not panel.is_sure for panel in optimizer_panels(report))
    assert rates_near_best(report) is None
    assert rates_near_best(made_report([])) is None


def test_pairs_with_few_trials_have_no_panel():
    trials = [*basin_trials(60)[0], made_trial(60, 0.1, 0.5, schedule="one_cycle")]
    found = schedule_panels(made_report(trials), least=3, most=2)
    assert len(found.panels) == 2
    assert found.left_out == 3
    assert all(panel.schedule != "one_cycle" for panel in found.panels)


def test_cells_compare_equally_many_trials():
    compared = by_pair(basin_report(120))
    assert compared.k == 5
    assert [(g.optimizer, g.schedule) for g in compared.groups] == [
        ("sgd", "constant"),
        ("sgd", "cosine"),
        ("adamw", "constant"),
        ("adamw", "cosine"),
    ]
    for group in compared.groups:
        assert group.best <= group.expected.value  # the best of all is no worse than that of k
        assert group.expected.low <= group.expected.value <= group.expected.high


def test_groups_of_a_turned_metric_are_the_same_turned():
    report = basin_report(120)
    for one, other in zip(by_pair(report).groups, by_pair(as_accuracy(report)).groups, strict=True):
        assert other.expected.value == pytest.approx(2 - one.expected.value)
        assert other.expected.low == pytest.approx(2 - one.expected.high)
        assert other.best == pytest.approx(2 - one.best)


def test_schedules_and_learning_rates_of_one_optimizer_share_its_trials():
    report = basin_report(120)
    schedules = by_schedule(report, "sgd")
    rates = by_lr(report, "sgd")
    assert rates.k == schedules.k == by_pair(report).k == by_optimizer(report).k
    count = sum(trial.optimizer == "sgd" for trial in report.lr_trials)
    assert sum(g.trials for g in schedules.groups) == sum(g.trials for g in rates.groups) == count
    assert all(group.lrs[0] < group.lrs[1] for group in rates.groups)


def test_the_learning_rate_matters_and_what_decides_nothing_does_not():
    found = {each.field: each.found for each in importances(basin_report(200, diverges=False))}
    assert found["adamw.lr"].divergence > found["adamw.lr"].noise
    assert found["adamw.lr"].divergence > 3 * found["schedule"].divergence


def test_every_candidate_says_what_became_of_it():
    report = basin_report(60, runs=chosen_runs((3, 7, 9)))
    first, *others = candidates_of(report)
    assert (first.trial, first.fate) == (3, "recommended")
    assert [mean.n for mean in first.means] == [3, 3]
    fates = {candidate.trial: candidate.fate for candidate in others}
    assert fates[9] == (
        "dropped after 1 seed: mean 0.22, place 3 of 3; the best 2 went on, with 0.2 to 0.21"
    )
    assert fates[7].startswith("dropped after 3 seeds: mean 0.2137, place 2 of 2")
    [beside] = [mean.difference for candidate in others if candidate.trial == 7
                for mean in candidate.means]  # fmt: skip
    assert (beside.n, beside.mean) == (3, pytest.approx(0.01 * 2 / 3 + 0.01 / 3))


def test_a_candidate_that_diverged_on_a_seed_is_out():
    runs = [run(3, 4, 0.2), run(7, 4, None), run(3, 5, 0.2)]
    fates = {c.trial: c.fate for c in candidates_of(basin_report(60, runs=runs))}
    assert fates == {3: "leads so far", 7: "out: it diverged on seed 4"}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_trials_leave_out_what_would_be_empty(count):
    trials, marks = basin_trials(count)
    report = made_report(trials, marks=marks)
    drawn = [figure for module in FIGURES if (figure := module.figure(report)) is not None]
    assert [figure.name for figure in drawn] == ["lr_basin"][: min(1, count)]
    for figure in drawn:
        assert "no curve" in figure.caption
        assert "blue curve" not in figure.caption


def test_a_study_that_diverged_throughout_says_so():
    trials = [made_trial(i, 10 ** (-i / 5), state="diverged") for i in range(20)]
    figure = lr_basin.figure(made_report(trials))
    assert figure.caption.startswith("sgd: all of 20 trials diverged.")
    assert_drawn(figure)


def assert_drawn(figure):
    """It is drawn without a warning, marks of trials carry what the page links by, and says so."""
    text = figure.chart.to_json()
    assert vl_convert.vegalite_to_svg(text).startswith("<svg")
    rows = [row for values in json.loads(text)["datasets"].values() for row in values]
    trials = [row for row in rows if TRIAL in row]
    assert all({OPTIMIZER, SCHEDULE} <= row.keys() for row in trials)
    assert figure.title.endswith("?")
    assert figure.caption
    assert figure.alt


def test_every_figure_is_drawn():
    report = as_accuracy(basin_report(60, pruned=0.5))
    scored = [trial.number for trial in report.trials if trial.is_scored][:3]
    report = replace(
        report,
        runs=tuple(chosen_runs(scored)),
        range_tests=basin_report(0).range_tests,
    )
    figures = [module.figure(report) for module in FIGURES]
    names = [figure.name for figure in figures]
    assert names == [module.__name__.rpartition(".")[2] for module in FIGURES]
    for figure in figures:
        assert_drawn(figure)


def test_a_figure_of_many_trials_draws_some_and_counts_all():
    report = basin_report(3 * looks.MOST_POINTS, pruned=0.5)
    figure = lr_basin.figure(report)
    rows = [row for values in json.loads(figure.chart.to_json())["datasets"].values()
            for row in values]  # fmt: skip
    drawn = {row[TRIAL] for row in rows if TRIAL in row}
    assert 0.9 * looks.MOST_POINTS < len(drawn) <= looks.MOST_POINTS
    assert report.recommended_trial in drawn
    assert f"2000 of {3 * looks.MOST_POINTS} trials are drawn" in figure.caption


def test_a_panel_and_its_strip_move_together():
    panels = json.loads(lr_basin.figure(basin_report(80)).chart.to_json())["concat"]
    assert [len(panel["vconcat"]) for panel in panels] == [2, 2]
    assert all(panel["resolve"]["scale"]["x"] == "shared" for panel in panels)


def test_a_range_test_without_a_window_says_so():
    flat = make_result(make_ramp(falls=1e9, climbs=1e9, noise=0.1))
    figure = range_test.figure(made_report([], range_tests=[flat]))
    assert "For sgd no window was found." in figure.caption
    assert_drawn(figure)


@pytest.mark.parametrize("name", SHAPES)
@given(total=st.integers(1, MOST_POINTS), place=st.floats(0.05, 0.9))
def test_a_thinned_schedule_looks_as_the_whole_one(name, total, place):
    shares = {"step": "step_size", "cyclic": "step_size_up", "one_cycle": "pct_start"}
    fields = {shares[name]: place / 2} if name in shares else {}
    factor = lr_factors({"name": name, **fields}, total_steps=total, warmup=0.0)
    lrs = [factor(step) for step in range(total)]
    drawn = kept(lrs)
    assert (drawn[0], drawn[-1]) == (0, total - 1)
    assert len(drawn) < 2 * schedules.MOST_POINTS or name == "cyclic"
    line = numpy.interp(range(total), drawn, [lrs[i] for i in drawn])
    assert numpy.abs(line - lrs).max() < 0.01  # of the peak, two pixels of the figure


def test_forty_optimizers_look_unlike():
    names = [f"optimizer{i}" for i in range(len(COLOURS) * len(looks.SHAPES))]
    colours = looks.optimizer_colour(names).to_dict()["scale"]["range"]
    shapes = looks.optimizer_shape(names).to_dict()["scale"]["range"]
    assert len(set(zip(colours, shapes, strict=True))) == len(names)
