"""The figures of how a search went: their data, and that each can be drawn."""

import json
import re
from dataclasses import replace
from math import fsum
from pathlib import Path

import pytest
from lr_reports import basin_trials, made_report, made_trial
from stored import confirmation_record
from tiny_studies import make_study, opened

from lrsearch.advice.shares import shares
from lrsearch.report.figures import (
    budget_shares,
    history_by_cost,
    pareto,
    rungs,
    time_spent,
    timeline,
)
from lrsearch.report.figures.all import FIGURES, figures
from lrsearch.report.figures.data.search_cost import search_cost
from lrsearch.report.figures.data.timeline import MOST_WORKERS
from lrsearch.report.figures.data.timeline import timeline as timeline_of
from lrsearch.report.figures.rungs import STOPPED, WENT_ON
from lrsearch.report.load import load_report
from lrsearch.report.page.charts import draw
from lrsearch.storage import workers
from lrsearch.storage.records import EventRecord, WorkerRecord
from lrsearch.trial.states import TrialState

MODULES = (rungs, pareto, history_by_cost, timeline, time_spent, budget_shares)
WORKERS = ("host:7:1", "host:8:1")


def changed(trial, **fields):
    return type(trial).of(replace(trial, **fields))


def searched(count=60, **changes):
    """A trial every 100 s, by two workers in turn; trial 3 was interrupted once."""
    trials, marks = basin_trials(count, pruned=0.5)
    started = [
        changed(
            trial,
            started_at=100.0 * i,
            ended_at=100.0 * i + 90,
            worker=WORKERS[i % 2],
            seconds=5.0 + i % 7,
            attempt=2 if i == 3 else 1,
        )
        for i, trial in enumerate(trials)
    ]
    return made_report(started, marks=marks, **changes)


def worker(name, begin, end, **fields):
    return WorkerRecord(
        **{
            "id": 1,
            "study_id": 1,
            "name": name,
            "device": "cpu",
            "version": "1",
            "doing": None,
            "started_at": begin,
            "seen_at": end,
            "ended_at": end,
            "since": 0.0,
            **fields,
        }
    )


def fault(worker, at):
    return EventRecord(id=1, study_id=1, at=at, worker=worker, what="trial 3 is free again")


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
    assert len({mark.seconds for mark in found}) < len(found)  # some took the same time
    for mark in found:
        others = [other for other in found if other is not mark]
        beaten = any(
            (other.seconds < mark.seconds and other.value <= mark.value)
            or (other.seconds <= mark.seconds and other.value < mark.value)
            for other in others
        )
        assert mark.front == (not beaten)
    assert min(found, key=lambda mark: mark.value).front


# --- what it took


def slow_search_cost(report):
    """Every moment at which the best of all that had ended became another, asked anew each time."""
    loss = report.spec.objective.loss
    found = []
    for moment in sorted({t.ended_at for t in report.trials if t.ended_at is not None}):
        ended = [t for t in report.trials if t.ended_at is not None and t.ended_at <= moment]
        values = [t.value for t in ended if t.state == TrialState.COMPLETE]
        best = min(values, key=loss, default=None)
        if best is not None and (not found or loss(best) < loss(found[-1][0])):
            found.append((best, sum(t.epochs for t in ended), moment - report.trials[0].started_at))
    return found


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_what_a_better_recipe_took_counts_all_that_was_trained_before_it(direction):
    objective = {"metric": "accuracy", "direction": direction}
    report = searched(objective=objective)
    shuffled = [
        changed(trial, ended_at=trial.started_at + 1 + 997 * i % 700)
        for i, trial in enumerate(report.trials)
    ]
    report = replace(report, trials=tuple(shuffled))
    found = search_cost(report)
    slow = slow_search_cost(report)
    assert len(slow) > 2
    assert [(s.value, pytest.approx(s.trained), s.after) for s in found.steps] == slow
    assert found.trained == pytest.approx(sum(trial.epochs for trial in report.trials))
    assert found.complete == report.counts[TrialState.COMPLETE] < found.trials == 60


def test_stopped_and_running_trials_are_no_step():
    trials = [
        made_trial(0, 0.1, 0.5, ended_at=1.0),
        made_trial(1, 0.1, 0.01, state="pruned", ended_at=2.0),
        made_trial(2, 0.1, 0.02, state="running", ended_at=None),
        made_trial(3, 0.1, 0.4, ended_at=4.0),
    ]
    found = search_cost(made_report(trials))
    assert [step.value for step in found.steps] == [0.5, 0.4]
    assert (found.trials, found.complete, found.seconds) == (3, 2, 4.0)


def test_the_caption_says_when_the_baseline_was_passed():
    baseline = made_trial(0, 0.1, 0.5, ended_at=10.0, kind="baseline")
    worse, better = (made_trial(i, 0.1, v, ended_at=10.0 + i) for i, v in ((1, 0.6), (2, 0.4)))
    passed = history_by_cost.figure(made_report([baseline, worse, better]))
    assert "Your baseline, 0.5, was passed after 12 epochs and 12 s (trial 2)." in passed.caption
    never = history_by_cost.figure(made_report([baseline, worse]))
    assert "No trial was better than your baseline, 0.5." in never.caption
    assert "dashed line is your baseline" in never.caption
    zero = changed(baseline, value=0.0)
    assert "dashed line" in history_by_cost.figure(made_report([zero, worse])).caption
    without = history_by_cost.figure(made_report([changed(baseline, kind="sampled"), worse]))
    assert "baseline" not in without.caption


def test_the_line_goes_on_to_the_end_of_what_was_spent():
    report = searched()
    found = search_cost(report)
    for axis in history_by_cost.axes_of(found, "epochs"):
        levels = history_by_cost.levels_of(found, axis)
        assert levels[-1].at == axis.whole >= levels[-2].at
        assert levels[-1].value == levels[-2].value == report.best.value
        assert [level.at for level in levels] == sorted(level.at for level in levels)


# --- who trained what, and when


def test_a_timeline_begins_at_the_first_sign_and_knows_interruptions():
    report = searched()
    found = timeline_of(report)
    assert found.stretches[0].begin == 0.0
    assert found.seconds == pytest.approx(100 * 59 + 90)
    assert [stretch.trial for stretch in found.stretches if stretch.attempts > 1] == [3]
    assert found.workers == ("host 7", "host 8")
    assert "1 trial went on after an interruption." in timeline.figure(report).caption
    early = replace(report, workers=(worker(WORKERS[0], -50.0, 9000.0),))
    found = timeline_of(early)
    assert found.stretches[0].begin == 50.0
    [presence] = found.presences
    assert (presence.begin, presence.end) == (0.0, 9050.0)


def test_a_fault_stands_on_the_worker_that_was_lost():
    report = replace(searched(), faults=(fault(WORKERS[1], 150.0), fault("gone:1:1", 160.0)))
    found = timeline_of(report)
    assert [(each.worker, each.at) for each in found.faults] == [("host 8", 150.0)]
    assert "freed 1 time." in timeline.figure(report).caption


def test_a_running_trial_goes_on_to_now():
    trial = made_trial(0, 0.1, state="running", ended_at=None, started_at=5.0)
    report = made_report([trial])
    report = replace(report, elapsed=30.0, study=replace(report.study, first_ask_at=4.0))
    [stretch] = timeline_of(report).stretches
    assert (stretch.begin, stretch.end) == (0.0, 29.0)


def test_workers_of_one_name_in_two_containers_are_two():
    names = ["vm/1/a:12:1", "vm/2/b:12:1", "vm/3/c:13:1"]
    trials = [made_trial(i, 0.1, 0.5, worker=name) for i, name in enumerate(names)]
    assert timeline_of(made_report(trials)).workers == ("vm 12", "vm 12 (2)", "vm 13")


def test_of_many_workers_those_that_trained_the_most_are_drawn():
    numbers = [0, 0, *range(1, MOST_WORKERS + 20)]
    trials = [made_trial(i, 0.1, 0.5, worker=f"host:{n + 1}:1") for i, n in enumerate(numbers)]
    found = timeline_of(made_report(trials))
    assert len(found.workers) == MOST_WORKERS
    assert found.of_workers == MOST_WORKERS + 20
    assert "host 1" in found.workers
    assert (
        " on 40 workers of 60 that trained the most in "
        in timeline.figure(made_report(trials)).caption
    )


# --- where the time went


def test_parts_of_the_time_add_up_to_the_workers_time():
    trials = [
        made_trial(0, 0.1, 0.5, seconds=10.0),
        made_trial(1, 0.1, state="pruned", seconds=3.0),
        made_trial(2, 0.1, 0.6, seconds=20.0, epochs=4.0, audited_at=0, audit_from=1.0),
        made_trial(3, 0.1, state="diverged", seconds=0.0),
    ]
    runs = [
        confirmation_record(round="choose", seconds=6.0),
        confirmation_record(id=2, round="report", seconds=1.0),
        confirmation_record(id=3, round="report", seconds=0.0, state="waiting"),
    ]
    report = replace(made_report(trials, runs=runs), workers=(worker(WORKERS[0], 100.0, 150.0),))
    found = time_spent.time_spent(report)
    assert {part.name: (part.count, part.seconds) for part in found.parts} == {
        "complete trials": (2, 15.0),
        "pruned trials": (1, 3.0),
        "audited parts": (1, 15.0),
        "runs used to choose": (1, 6.0),
        "runs used to measure": (1, 1.0),
        "the rest": (None, 10.0),
    }
    assert found.total == found.present == 50.0
    assert report.seconds.total == found.total - 10.0
    caption = time_spent.figure(report).caption
    assert caption.startswith("Of 50 s on 1 worker: 36 % search, 30 % audit of pruning, 20 % not")
    assert caption.endswith("trials: 2 complete, 1 pruned.")


@pytest.mark.parametrize("workers", [(), (worker(WORKERS[0], 0.0, 5.0),)], ids=["none", "short"])
def test_what_no_worker_tells_is_said_to_be_unknown(workers):
    trials = [made_trial(0, 0.1, 0.5, seconds=10.0), made_trial(1, 0.1, state="pruned", seconds=2)]
    report = replace(made_report(trials), workers=workers)
    found = time_spent.time_spent(report)
    assert found.present is None
    assert found.total == 12.0
    assert "is not known" in time_spent.figure(report).caption


def test_a_worker_that_was_never_ended_counts_until_it_was_last_seen():
    lost = worker(WORKERS[0], 0.0, 40.0, ended_at=None)
    report = replace(made_report([made_trial(0, 0.1, 0.5, seconds=10.0)]), workers=(lost,))
    assert time_spent.time_spent(report).present == 40.0


def test_the_shares_of_the_budget_are_those_of_the_plan_and_what_was_trained():
    own = changed(made_trial(0, 0.1, 0.5, epochs=4.0), kind="baseline")
    first = changed(made_trial(1, 0.1, 0.4, epochs=4.0), kind="portfolio")
    drawn = [made_trial(2, 0.1, 0.3, epochs=4.0), made_trial(3, 0.1, state="pruned", epochs=1.0)]
    runs = [confirmation_record(id=1, round="report", epochs=4.0)]
    report = made_report([own, first, *drawn], runs=runs, budget={"runs": 30})
    found = {share.name: share for share in budget_shares.budget_shares(report)}
    assert {name: share.spent for name, share in found.items() if share.spent} == {
        "known recipes": 8.0,
        "exploration": 5.0,
        "confirmation": 4.0,
    }
    assert fsum(share.spent for share in found.values()) == report.epochs.total
    planned = shares(report.plan).epochs
    assert found["exploration"].planned == planned.exploration > 0
    assert found["confirmation"].planned == report.plan.confirm > 0
    caption = budget_shares.figure(report).caption
    assert " epochs 17 were trained. Known recipes are your own" in caption
    assert {bar.told for bar in budget_shares.bars_of(tuple(found.values()))} > {""}


# --- drawing


def test_there_is_no_figure_without_anything_to_draw():
    empty = made_report([])
    for module in MODULES:
        assert module.figure(empty) is None
    one = made_report([made_trial(0, 0.1, 0.5)])
    for module in (pareto, history_by_cost, time_spent):
        assert module.figure(one) is None
    diverged = [made_trial(i, 0.1, state="diverged", reason="x") for i in range(30)]
    for module in (pareto, history_by_cost):
        assert module.figure(made_report(diverged)) is None


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_each_is_drawn(module):
    report = searched()
    known = tuple(worker(name, -60.0, 7000.0) for name in WORKERS)
    report = replace(report, workers=known, faults=(fault(WORKERS[0], 350.0),))
    drawing = draw(module.figure(report))
    assert "<svg" in drawing.svg
    assert drawing.figure.caption.endswith(".")
    assert len(json.loads(drawing.specification)["datasets"]) >= 1


def test_the_reference_lists_every_figure_in_the_order_of_the_page():
    text = (Path(__file__).parents[2] / "docs" / "reference" / "figures.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", text, re.MULTILINE)
    assert [name for name, _ in rows] == [make.__module__.split(".")[-1] for make in FIGURES]
    known = tuple(worker(name, -60.0, 7000.0) for name in WORKERS)
    titles = {figure.name: figure.title for figure in figures(replace(searched(), workers=known))}
    assert len(titles) > len(FIGURES) / 2
    assert titles.items() <= dict(rows).items()


def test_a_report_has_the_workers_and_the_faults_of_its_study(sqlite_url):
    with opened(sqlite_url) as database:
        search = make_study(database)
        other = make_study(database, name="other")
        with database.begin() as connection:
            for study in (search, other):
                workers.register(connection, study.study_id, WORKERS[0], device="cpu", version="1")
            workers.note(connection, search.study_id, WORKERS[0], "trial 3 is free again")
        report = load_report(database, search.name)
    assert [each.name for each in report.workers] == [WORKERS[0]]
    assert [each.what for each in report.faults] == ["trial 3 is free again"]
    assert time_spent.figure(report) is None  # nothing was trained yet
