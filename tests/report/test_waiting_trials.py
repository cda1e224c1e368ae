"""A study whose trials wait at rungs: what its figures, words, JSON and events say of them."""

import pytest
from made_reports import made_report, trial
from tiny_studies import ask, curve_row, make_study

from lrsearch.advice.shares import shares
from lrsearch.report.figures import budget_shares, rungs
from lrsearch.report.figures import timeline as timeline_figure
from lrsearch.report.figures.data.timeline import timeline
from lrsearch.report.live.follow import Watcher
from lrsearch.report.live.progress import study_progress
from lrsearch.report.load import report_of
from lrsearch.report.one_trial import details, details_document
from lrsearch.report.text.trial import details_text
from lrsearch.report.text.trial_end import trial_ends
from lrsearch.storage import studies
from lrsearch.storage.outages import Patience
from lrsearch.study.assignment import Arrival
from lrsearch.trial.states import StudyState

on_sqlite = pytest.mark.parametrize("prepared_url", ["sqlite"], indirect=True)
#: Two rungs. Of 40 epochs each of three stages pays for 24, 12 and 6 trials.
PLANNED = {
    "pruning": {"rungs": [0.15, 0.4], "rule": "planned"},
    "budget": {"runs": 10},
    "confirm": "none",
}
BEGUN = 24


def arrive(search, assignment, rung):
    """At the rung with a loss that rises with the trial's number: trial 0 is the best."""
    first, last = (0, 1) if rung == 0 else (1, 3)
    loss = float(assignment.number + 1)
    rows = [curve_row(i, val_loss=loss) for i in range(first + 1, last + 1)]
    arrival = Arrival(
        assignment=assignment,
        rung=rung,
        signal=loss,
        value=loss,
        validation=last,
        rows=rows,
        epochs=float(last),
        seconds=float(last),
    )
    search.pass_rungs([arrival])


@pytest.fixture
def begun(database):
    """Trial 0 waits at the second rung, trial 1 trains again, all others wait at the first."""
    search = make_study(database, **PLANNED)
    for _ in range(BEGUN):
        arrive(search, ask(search, "a:1:1"), 0)
    arrive(search, ask(search, "a:1:1"), 1)
    return search, ask(search, "b:2:2")


@pytest.fixture
def waiting(begun):
    return begun[0]


@on_sqlite
def test_each_rung_says_how_many_wait_there(waiting):
    found = rungs.bars(report_of(waiting))
    counts = {
        (place, what): sum(bar.trials for bar in found if (bar.rung, bar.what) == (place, what))
        for place in (0, 1)
        for what in (rungs.WENT_ON, rungs.WAITS, rungs.STOPPED)
    }
    assert counts == {
        (0, "went on"): 2, (0, "waits"): 22, (0, "stopped"): 0,
        (1, "went on"): 0, (1, "waits"): 1, (1, "stopped"): 0,
    }  # fmt: skip
    caption = rungs.figure(report_of(waiting)).caption
    assert "Stopped were 0 of 24 at 15 %, 0 of 1 at 40 % of a full training." in caption
    assert "Until it is known which are the best, 22 at 15 %, 1 at 40 % wait." in caption


def test_the_plan_beside_what_was_spent_says_how_many_come_to_each_rung():
    report = made_report([trial(0, 0.5)], pruning=PLANNED["pruning"], budget={"runs": 20})
    found = shares(report.plan).stages
    assert len(found) == 3
    caption = budget_shares.figure(report).caption
    assert f" By the plan about {found[0].trials} trials wait at " in caption
    assert caption.endswith(f"{found[-1].trials} to the end.")


@on_sqlite
def test_a_trial_says_that_it_waits_and_who_trained_it(waiting):
    found = details(waiting, 2)
    assert found.why == "Waits after 1 epoch until it is known whether it goes on."
    text = details_text(waiting.name, found)
    assert "trial 2 of tiny: waiting" in text
    assert "worker a:1:1" in text
    assert "takes it over" not in text
    document = details_document(found)
    assert (document["state"], document["lease_left"]) == ("waiting", None)


@on_sqlite
def test_one_that_does_not_go_on_is_set_beside_all_that_came(waiting):
    report = report_of(waiting)
    pruned = [t for t in report.trials if t.number == 5]
    pruned[0].__dict__["state"] = "pruned"
    found = trial_ends(report)
    assert found[pruned[0].id] == (
        "Pruned at 15 % of a full training (1 epoch): its val_loss there, 6, is place 6 of the "
        "24 that have come there, of which 2 went on."
    )


@on_sqlite
def test_bars_are_as_long_as_trials_were_trained_and_waiting_is_no_interruption(waiting):
    found = timeline(report_of(waiting))
    by_number = {stretch.trial: stretch for stretch in found.stretches}
    assert [by_number[number].attempts for number in (0, 1, 2)] == [1, 1, 1]
    trained = {t.number: t.seconds for t in report_of(waiting).trials}
    for number in (0, 2):
        stretch = by_number[number]
        assert stretch.end - stretch.begin <= trained[number]
    caption = timeline_figure.figure(report_of(waiting)).caption
    assert "Nothing was interrupted." in caption
    assert "A bar is as long as the trial was trained" in caption


@on_sqlite
def test_the_bar_beside_the_budget_counts_those_that_wait(waiting):
    watcher = Watcher(waiting.database, waiting.name, patience=Patience(seconds=0))
    seen = watcher.look()
    assert "0 trials ended, 1 running, 23 waiting" in seen.events[0].words
    assert "23 waiting" in study_progress(seen.now).note


@on_sqlite
def test_to_wait_to_go_on_and_to_be_left_behind_are_told_apart(begun):
    study, one = begun
    watcher = Watcher(study.database, study.name, patience=Patience(seconds=0))
    watcher.look()
    arrive(study, one, 1)
    assert [event.words for event in watcher.look().events] == [
        "trial 1 waits at rung 2 of 2 (40 % of its training)"
    ]
    arrive(study, ask(study, "b:2:2"), 1)
    (goes_on, *_, waits) = watcher.look().events
    assert (goes_on.kind, goes_on.words) == (
        "trial_goes_on",
        "trial 2 goes on at b pid 2, attempt 2",
    )
    assert (waits.kind, waits.trial, waits.rung) == ("trial_waits", 2, 2)
    with study.database.begin() as connection:
        studies.set_state(connection, study.study_id, StudyState.STOPPED)
    assert ask(study, "c:3:3") is None
    assert {event.kind for event in watcher.look().events} == {"study_finished", "trial_pruned"}
    assert {trial.worker for trial in report_of(study).trials} == {"a:1:1", "b:2:2"}
