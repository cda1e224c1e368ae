"""The figures of how a search went: their data, and that each can be drawn."""

from dataclasses import replace

import pytest
from lr_reports import basin_trials, made_report, made_trial

from lrsearch.report.figures import pareto, rungs, timeline
from lrsearch.report.figures.rungs import STOPPED, WENT_ON
from lrsearch.report.page.charts import draw
from lrsearch.trial.states import TrialState


def searched(count=60):
    trials, marks = basin_trials(count, pruned=0.5)
    started = [
        type(trial).of(
            replace(
                trial,
                started_at=100.0 * i,
                ended_at=100.0 * i + 90,
                worker=f"host:{7 + i % 2}:1",
                seconds=5.0 + i % 7,
                attempt=2 if i == 3 else 1,
            )
        )
        for i, trial in enumerate(trials)
    ]
    return made_report(started, marks=marks)


def test_each_trial_that_came_to_a_rung_is_counted_there_once():
    report = searched()
    found = rungs.bars(report)
    assert sum(bar.trials for bar in found) == len(report.marks)
    stopped = sum(bar.trials for bar in found if bar.what == STOPPED)
    assert stopped == report.counts[TrialState.PRUNED] > 0
    assert {bar.what for bar in found} == {STOPPED, WENT_ON}


def test_the_front_is_whatever_no_other_trial_beats_in_both():
    report = searched()
    found = pareto.marks(report)
    assert len(found) == report.counts[TrialState.COMPLETE]
    for mark in found:
        beaten = any(other.seconds <= mark.seconds and other.value < mark.value for other in found)
        earlier = any(other.seconds < mark.seconds and other.value == mark.value for other in found)
        assert not (mark.front and (beaten or earlier)) or mark.seconds in {
            other.seconds for other in found if other is not mark
        }
    assert min(found, key=lambda mark: mark.value).front


def test_a_timeline_begins_at_the_first_trial_and_knows_interruptions():
    report = searched()
    found = timeline.stretches(report)
    assert timeline.unit(report) == "minutes"
    assert found[0].begin == 0.0
    assert max(stretch.end for stretch in found) == pytest.approx((100 * 59 + 90) / 60)
    assert [stretch.trial for stretch in found if stretch.attempts > 1] == [3]
    assert {stretch.worker for stretch in found} == {"host 7", "host 8"}


def test_there_is_no_figure_without_anything_to_draw():
    empty = made_report([])
    for module in (rungs, pareto, timeline):
        assert module.figure(empty) is None
    assert pareto.figure(made_report([made_trial(0, 0.1, 0.5)])) is None


def test_each_is_drawn():
    report = searched()
    for module in (rungs, pareto, timeline):
        drawing = draw(module.figure(report))
        assert "<svg" in drawing.svg
        assert drawing.figure.caption.endswith(".")
