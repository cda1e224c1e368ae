"""`Result.plot`: pictures of the report's data on axes that the caller gets, or has given."""

from dataclasses import replace

import matplotlib
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from ramps import make_result
from tiny_studies import search_here

import lrsearch
from lrsearch.api.result import Result
from lrsearch.report.rows import OptimizerRangeTest

NAMES = ["history", "curves", "schedules", "lr", "range_test", "confirmation"]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A study with confirmation, and with range tests that are made up."""
    url = f"sqlite:///{tmp_path_factory.mktemp('plots')}/study.db"
    found = search_here(name="tiny", storage=url)
    tests = tuple(range_test(name) for name in ("sgd", "adamw"))
    return Result(found._study, replace(found._report, range_tests=tests), found._training)


def range_test(optimizer):
    return OptimizerRangeTest(
        id=1,
        study_id=1,
        optimizer=optimizer,
        seeds=1,
        epochs_reserved=0.0,
        state="complete",
        worker=None,
        attempt=1,
        result=make_result(optimizer=optimizer).to_dict(),
        reason=None,
        epochs=1.0,
        seconds=1.0,
        deaths=0,
    )


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Without confirmation or range test, and with one optimizer."""
    url = f"sqlite:///{tmp_path_factory.mktemp('bare')}/study.db"
    return search_here(name="tiny", storage=url, confirm="none", budget={"trials": 3})


@pytest.fixture(autouse=True)
def _no_display():
    """Figures of pyplot without a window, closed after each test."""
    before = matplotlib.get_backend()
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(before)


def test_the_methods_are_those_that_its_repr_names(result):
    assert repr(result.plot).startswith("Plot of study tiny: ")
    assert all(f"{name}()" in repr(result.plot) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_returns_axes_of_pyplots_current_figure(name, result):
    ax = getattr(result.plot, name)()
    assert isinstance(ax, Axes)
    assert ax is pyplot.gca()
    assert len(pyplot.get_fignums()) == 1
    (legend,) = ax.figure.legends
    ax.figure.draw_without_rendering()
    assert not ax.get_tightbbox().overlaps(legend.get_window_extent())
    assert ax.get_xlabel() or ax.get_xticklabels()
    assert ax.get_ylabel()


@pytest.mark.parametrize("name", NAMES)
def test_each_draws_on_the_axes_that_are_given(name, result):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert getattr(result.plot, name)(ax=right) is right
    assert right.lines
    assert right.get_legend() is not None
    assert figure.legends == []  # the figure is the caller's
    assert not left.lines
    assert pyplot.get_fignums() == []


def test_history_is_the_best_value_so_far(result):
    ax = result.plot.history(Figure().add_subplot())
    (line,) = [line for line in ax.lines if line.get_label() == "best so far"]
    expected, best = [], None
    for trial in result.trials:
        if trial.is_complete and (best is None or trial.value < best):
            best = trial.value
        expected += [] if best is None else [best]
    assert list(line.get_ydata()) == expected


def test_curves_are_those_of_the_best_trials(result):
    ax = result.plot.curves(Figure().add_subplot())
    drawn = {int(line.get_label().partition(":")[0]): line for line in ax.lines}
    assert result.trial in drawn
    for number, line in drawn.items():
        points = result.curves(number)
        assert list(line.get_xdata()) == [point.epoch for point in points]
        assert list(line.get_ydata()) == [point.value for point in points]


def test_schedules_are_the_learning_rates_of_the_recipe(result):
    import torch

    ax = result.plot.schedules(Figure().add_subplot())
    for line in ax.lines:
        number = int(line.get_label().partition(":")[0])
        recipe = result.trials[number].recipe
        model = torch.nn.Linear(1, 1)
        optimizer, scheduler = recipe.build(model, steps_per_epoch=6)
        expected = []
        for _ in range(24):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        drawn = [float(lr) for lr in line.get_ydata()]
        shown = expected if ax.get_yscale() == "linear" else [lr for lr in expected if lr > 0]
        assert [lr for lr in drawn if lr == lr][: len(shown)] == pytest.approx(shown)


def test_a_range_test_is_drawn_of_one_optimizer(result):
    for name in ("sgd", "adamw"):
        ax = result.plot.range_test(name, ax=Figure().add_subplot())
        assert ax.get_title() == f"{name} (1 seed)"
        (line,) = [line for line in ax.lines if line.get_label() == "a seed's loss"]
        ramp = make_result(optimizer=name).ramps[0]
        assert list(line.get_ydata()) == list(ramp.losses)


def test_lr_is_drawn_of_one_optimizer(result):
    tried = {trial.recipe.optimizer_name for trial in result.trials}
    assert tried == {"sgd", "adamw"}
    for name in sorted(tried):
        ax = result.plot.lr(name, ax=Figure().add_subplot())
        ended = [t for t in result.trials if t.recipe.optimizer_name == name]
        assert ax.get_title() == f"{name} ({len(ended)} trials)"
        marked = ("best of search", "confirmed winner")
        drawn = [x for line in ax.lines if line.get_label() not in marked for x in line.get_xdata()]
        assert sorted(drawn) == sorted(trial.recipe.lr for trial in ended)
    best = min((t for t in result.trials if t.is_complete), key=lambda trial: trial.value)
    assert result.plot.lr().get_title().startswith(f"{best.recipe.optimizer_name} (")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda plot: plot.lr("adam"), "study 'tiny' has no trial of adam; did you mean 'adamw'?"),
        (lambda plot: plot.range_test("lion"), "study 'tiny' has no range test of lion"),
    ],
    ids=["lr", "range_test"],
)
def test_an_optimizer_that_is_not_there_is_told_with_the_near_miss(call, message, result):
    with pytest.raises(lrsearch.StudyError) as raised:
        call(result.plot)
    assert str(raised.value).startswith(message)
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("name", ["range_test", "confirmation"])
def test_what_a_study_has_not_is_told_in_one_line(name, bare):
    with pytest.raises(lrsearch.StudyError, match=r"study 'tiny' has no (range test|confirmed)"):
        getattr(bare.plot, name)()
    assert pyplot.get_fignums() == []
