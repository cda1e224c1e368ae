"""What captions say is in the picture, and what is not there is not named."""

from dataclasses import replace

import pytest
from confirmed_runs import run
from lr_reports import basin_trials
from lr_reports import made_report as of_trials
from made_reports import BASELINE, made_report, runs_of, trial

from lrsearch.report.figures import (
    curves,
    history,
    history_by_cost,
    lr_basin,
    pareto,
    schedules,
    timeline,
)
from lrsearch.report.figures.all import figures
from lrsearch.report.figures.data.basins import optimizer_panels
from lrsearch.report.figures.looks import DOWN_ARROW, UP_ARROW, X_MARK
from lrsearch.report.figures.lr_marks import axis_of, points_of
from lrsearch.storage.records import CurveRecord

SPACE = {
    "space": {
        "optimizers": {"sgd": {}, "adamw": {}},
        "schedules": {"constant": {}, "cosine": {}},
    }
}


def walk(part):
    """Every dictionary of a chart's specification."""
    if isinstance(part, dict):
        yield part
        part = part.values()
    if isinstance(part, list | type({}.values())):
        for each in part:
            yield from walk(each)


def legends(figure):
    """How many entries each legend has that is drawn."""
    found = []
    for each in walk(figure.chart.to_dict()):
        for channel in ("color", "shape", "fill", "strokeDash"):
            field = each.get(channel)
            if isinstance(field, dict) and "field" in field and field.get("legend", 0) is not None:
                found.append(len(field.get("scale", {}).get("domain", ["?", "?"])))
    return found


def complete(count=4, **fields):
    return [
        trial(i, 0.3 + 0.1 * i, lr=10 ** (-2 + i / 4), seconds=1.0 + i, **fields)
        for i in range(count)
    ]


def test_three_complete_trials_have_no_strip_baseline_or_legend_of_one():
    report = made_report(complete(3))
    for figure in figures(report):
        assert 1 not in legends(figure), figure.name
        for absent in ("strip", "baseline", "plateau", "averaged", "pruned", "diverged trials"):
            assert absent not in figure.caption.lower(), (figure.name, absent)
    assert "3 complete trials" in lr_basin.title(optimizer_panels(report)[0])
    title = lr_basin.title(optimizer_panels(report)[0])
    assert title.count("3") == 1


def test_a_baseline_is_named_where_it_is_drawn():
    own = trial(0, 0.9, kind="baseline", name="adamw", lr=1e-3, seconds=1.0)
    report = made_report([own, *complete(6)[1:]], baseline=BASELINE)
    for module in (history, history_by_cost, lr_basin, schedules):
        assert "your baseline" in module.figure(report).caption, module.__name__
    assert "trial 0 of the confirmation" not in schedules.figure(report).caption


def test_stopped_trials_are_named_by_what_they_are():
    lost = trial(4, None, "diverged", lr=1.0, reason="nan")
    pruned = trial(5, 2.0, "pruned", lr=0.01, epochs=1.0)
    both = history.figure(made_report([*complete(), pruned, lost])).caption
    assert "Pruned and diverged trials have no final value" in both
    one = history.figure(made_report([*complete(), lost])).caption
    assert "Diverged trials have no final value" in one
    assert "runed" not in one


def validation(at, value):
    fields = dict.fromkeys(CurveRecord.__dataclass_fields__)
    known = {"validation": at, "epoch": float(at + 1), "step": at, "val_loss": value, "metrics": {}}
    return CurveRecord(**{**fields, "number": 0, "attempt": 1, "lr": 0.1, **known})


def test_curves_name_the_trials_that_are_drawn():
    trials = complete(7)
    rows = {t.id: tuple(validation(i, 1 / (i + 1)) for i in range(3)) for t in trials}
    report = made_report(trials, runs_of(6, [0.3, 0.31]), pruning=None)
    caption = curves.figure(replace(report, curves=rows)).caption
    assert "the best 5 complete trials and trial 6 of the confirmation; trial 6 is" in caption
    for absent in ("baseline", "averaged", "pruned", "rungs"):
        assert absent not in caption


@pytest.mark.parametrize("turned", [False, True])
def test_what_the_axis_does_not_reach_is_an_arrow_that_points_there(turned):
    losses = [0.2 + 0.01 * i for i in range(18)] + [40.0, 60.0]
    values = [-loss if turned else loss for loss in losses]
    trials = [
        trial(i, value, lr=10 ** (-3 + i / 7), seconds=1.0 + i) for i, value in enumerate(values)
    ]
    changes = {"objective": {"metric": "score", "direction": "maximize"}} if turned else {}
    report = made_report(trials, **changes)
    (panel,) = optimizer_panels(report)
    axis = axis_of([panel], report.spec.objective)
    beyond = [point for point in points_of(panel, axis, 100) if point.beyond]
    assert {point.trial for point in beyond} == {19}
    assert beyond[0].value == f"{values[19]:.4g}"
    edge, arrow = ("bottom", DOWN_ARROW) if turned else ("top", UP_ARROW)
    for module in (lr_basin, pareto):
        figure = module.figure(report)
        shapes = {
            part["mark"].get("shape")
            for part in walk(figure.chart.to_dict())
            if isinstance(part.get("mark"), dict)
        }
        assert arrow in shapes
        assert f"t the {edge} edge" in figure.caption
        assert "worse value than the axis reaches" in figure.caption


def test_a_strip_of_divergence_is_there_where_a_trial_diverged():
    calm = complete(12)
    lost = [trial(20 + i, None, "diverged", name="adamw", lr=1.0 + i) for i in range(6)]
    adamw = [trial(30 + i, 0.5, name="adamw", lr=0.01 * (1 + i)) for i in range(6)]
    report = made_report([*calm, *lost, *adamw], **SPACE)
    sgd, other = optimizer_panels(report)
    assert (sgd.diverges, other.diverges) == (False, True)
    caption = lr_basin.figure(report).caption
    share = 100 * (1 - 0.05 ** (1 / 12))  # twelve that ended well: 95 % of studies have so few
    assert f"No trial has diverged with sgd (at most {share:.2g} % do, at 95 %)." in caption
    assert "crosses are diverged trials" in caption
    assert X_MARK in str(lr_basin.figure(report).chart.to_dict())
    quiet = lr_basin.figure(made_report(calm)).caption
    assert "strip" not in quiet
    assert "diverged trials" not in quiet


def test_converted_rates_are_not_to_copy_and_the_tip_has_the_recipe_s_own():
    trials = complete(12)
    for i, each in enumerate(trials):
        each.recipe["optimizer"]["momentum"] = (0.0, 0.9)[i % 2]
    trials = [trial(i, t.value, recipe=t.recipe) for i, t in enumerate(trials)]
    report = made_report(trials)
    assert optimizer_panels(report)[0].equivalent
    figure = lr_basin.figure(report)
    assert "Do not copy learning rates from an axis" in figure.caption
    assert "when converted to momentum 0.9 and batch size 64" in figure.caption
    spec = figure.chart.to_dict()
    titles = [part["title"] for part in walk(spec) if isinstance(part.get("title"), list)]
    assert ["learning rate converted to", "momentum 0.9, batch 64: not to copy"] in titles
    tips = [part["tooltip"] for part in walk(spec) if isinstance(part.get("tooltip"), list)]
    of_trials = [tip for tip in tips if any(each["field"] == "trial" for each in tip)]
    assert of_trials
    assert all((tip[0]["field"], tip[0]["title"]) == ("lr", "lr to copy") for tip in of_trials)


def test_the_two_histories_say_where_their_orders_differ():
    times = [(0.0, 9.0, 0.4), (1.0, 2.0, 0.5), (3.0, 12.0, 0.3)]
    trials = [trial(i, v, started_at=a, ended_at=b) for i, (a, b, v) in enumerate(times)]
    words = "in the order of their starts, the line has other steps"
    assert words in history_by_cost.figure(made_report(trials)).caption
    same = [trial(i, t.value, started_at=i, ended_at=i + 1) for i, t in enumerate(trials)]
    assert words not in history_by_cost.figure(made_report(same)).caption


def test_fused_trials_have_a_lane_each():
    mine = {"worker": "host:1:1", "started_at": 0.0}
    together = [trial(i, 0.3, **mine, ended_at=9.0 - i) for i in range(3)]
    after = trial(3, 0.3, worker="host:1:1", started_at=8.0, ended_at=9.0)
    other = trial(4, 0.3, worker="host:2:1", started_at=1.0, ended_at=9.0)
    found = timeline.timeline(made_report([*together, after, other]))
    assert [stretch.lane for stretch in found.stretches] == [0, 1, 2, 1, 0]
    assert found.lanes == 3
    assert "one below the other" in timeline.figure(made_report([*together, other])).caption
    assert "one below the other" not in timeline.figure(made_report([after, other])).caption


def test_no_caption_names_a_private_word():
    trials, marks = basin_trials(60)
    chosen = [run(number, 4, 0.2 + number / 100) for number in (3, 7)]
    reported = [run(3, seed, 0.21, "report", "winner") for seed in (7, 8)]
    report = of_trials(trials, marks=marks, runs=[*chosen, *reported])
    drawn = {figure.name: figure for figure in figures(report)}
    assert {"importance", "confirmation", "optimizers_by_schedules", "shape"} <= set(drawn)
    for figure in drawn.values():
        for word in ("Pearson", "PED-ANOVA", "1-", "that report", "that chose"):
            assert word not in figure.caption, figure.name
    assert "lr of adamw" in str(drawn["importance"].chart.to_dict())
    assert "runs used to measure" in drawn["confirmation"].caption
    assert "any schedule" in str(drawn["optimizers_by_schedules"].chart.to_dict())
