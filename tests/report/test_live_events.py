"""What happens in a study is told once, in the order in which it happens, by two looks at it."""

import json
import threading
from dataclasses import replace

import pytest
from proxy import Proxy
from sqlalchemy import make_url
from tiny_studies import LEASE, TRIALS, ask, curve_row, ended, make_study, opened, passes_rung, work

from lrsearch.confirmation.runs import REPORT, WINNER, PlannedRun
from lrsearch.report.live.events import between
from lrsearch.report.live.follow import Watcher
from lrsearch.storage import confirmations, curves, studies, workers
from lrsearch.storage.ends import ConfirmationEnd
from lrsearch.storage.outages import Patience
from lrsearch.study.checkpoint_cleanup import delete_study
from lrsearch.study.lost_work import reap_study
from lrsearch.trial.states import StudyState, TrialState


def watched(study):
    return Watcher(study.database, study.name, patience=Patience(seconds=0))


def kinds(seen):
    return [event.kind.value for event in seen.events]


def words(seen):
    return [event.words for event in seen.events]


@pytest.mark.both_databases
def test_nothing_is_told_twice(database):
    watcher = watched(make_study(database))
    assert kinds(watcher.look()) == ["watched"]
    assert kinds(watcher.look()) == []


def test_a_trial_is_told_from_its_start_to_its_end(database):
    study = make_study(database)
    watcher = watched(study)
    watcher.look()
    trial = ask(study)
    assert kinds(watcher.look()) == ["trial_started"]
    row = curve_row(1, val_loss=0.5)
    assert passes_rung(
        study, assignment=trial, rung=0, signal=0.5, value=0.5, validation=1, rows=[row]
    )
    assert words(watcher.look()) == ["trial 0 passed rung 1 of 2 (15 % of its training)"]
    study.tell(trial, ended(TrialState.COMPLETE))
    (event,) = watcher.look().events
    assert (event.kind, event.trial, event.value, event.best) == ("trial_complete", 0, 0.5, True)
    assert event.words == "trial 0 complete: val_loss 0.5, the best so far"
    assert watcher.look().events == []


@pytest.mark.parametrize("state", [TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED])
def test_an_end_between_two_looks_is_told_with_its_start(state, database):
    study = make_study(database)
    watcher = watched(study)
    watcher.look()
    trial = ask(study)
    study.tell(trial, ended(state, reason="because\x1b[31m"))
    seen = watcher.look()
    assert kinds(seen) == ["trial_started", f"trial_{state}"]
    assert seen.events[-1].reason is not None
    assert "\x1b" not in "".join(words(seen))


def test_all_trials_of_a_study_are_told_however_seldom_one_looks(database):
    """More end between two looks than a look has of earlier ends."""
    study = make_study(database, budget={"trials": 40}, confirm="none")
    watcher = watched(study)
    watcher.look()
    for _ in range(40):
        study.tell(ask(study), ended(TrialState.FAILED, reason="x"))
    seen = watcher.look()
    started = [event.trial for event in seen.events if event.kind == "trial_started"]
    failed = [event.trial for event in seen.events if event.kind == "trial_failed"]
    assert started == failed == list(range(40))


@pytest.mark.both_databases
def test_a_study_is_told_to_its_end(database):
    study = make_study(database)
    watcher = watched(study)
    watcher.look()
    work(study)
    seen = watcher.look()
    told = kinds(seen)
    assert told.count("trial_started") == TRIALS
    assert sum(told.count(f"trial_{s}") for s in ("complete", "pruned", "diverged")) == TRIALS
    with database.read() as connection:
        runs = confirmations.everything(connection, study.study_id)
    assert told.count("confirmation_run_ended") == len(runs) > 0
    assert told[-1] == "study_finished"
    times = [event.at for event in seen.events]
    assert times == sorted(times)
    for number in range(TRIALS):
        mine = [event.kind.value for event in seen.events if event.trial == number]
        mine = [kind for kind in mine if not kind.startswith("confirmation")]
        assert mine[0] == "trial_started"
        assert set(mine[1:-1]) <= {"rung_reached"}
    assert seen.is_last
    assert kinds(watched(study).look()) == ["watched", "study_finished"]


def test_confirmation_runs_are_told(database):
    study = make_study(database)
    trial = ask(study)
    study.tell(trial, ended(TrialState.COMPLETE))
    watcher = watched(study)
    watcher.look()
    with database.begin() as connection:
        planned = [PlannedRun(round=REPORT, role=WINNER, number=0, seed=s) for s in (1, 2)]
        confirmations.add(connection, study.study_id, planned)
    (event,) = watcher.look().events
    assert (event.kind, event.round, event.runs) == ("confirmation_planned", "report", 2)
    with database.begin() as connection:
        run = confirmations.claim(connection, study.study_id, "a:1:1", LEASE)
        end = ConfirmationEnd(
            state=TrialState.COMPLETE, epochs=4.0, seconds=1.0, value=0.25, metrics={}
        )
        confirmations.record(connection, run, end)
    (event,) = watcher.look().events
    assert (event.kind, event.seed, event.value) == ("confirmation_run_ended", 1, 0.25)


def test_a_worker_that_is_lost_is_told_and_who_goes_on(database):
    study = make_study(database)
    with database.begin() as connection:
        workers.register(connection, study.study_id, "a:1:1", device="cpu", version="0")
    watcher = watched(study)
    watcher.look()
    ask(study, worker="a:1:1")
    watcher.look()
    reap_study(study, ["a:1:1"])
    (event,) = watcher.look().events
    assert (event.kind, event.words) == (
        "fault",
        "trial 0 is free again: worker a:1:1 was lost",
    )
    ask(study, worker="b:2:2")
    (event,) = watcher.look().events
    assert (event.kind, event.words) == (
        "trial_taken_over",
        "trial 0 goes on at b pid 2, attempt 2",
    )


def test_workers_come_fall_silent_come_back_and_leave(database):
    study = make_study(database)
    watcher = watched(study)
    none = watcher.look().now
    with database.begin() as connection:
        workers.register(connection, study.study_id, "a:1:1", device="cpu", version="0")
    seen = watcher.look()
    assert words(seen) == ["worker a pid 1 (cpu) joined"]
    here = seen.now
    (worker,) = here.workers
    silent = replace(here, workers=(replace(worker, since=61.0),))
    left = replace(here, workers=(replace(worker, ended_at=here.now),))
    gone = replace(here, workers=())

    def change(before, now):
        return [event.kind.value for event in between(before, now)]

    assert change(none, here) == ["worker_joined"]
    assert change(here, silent) == ["worker_lost"]
    assert change(silent, silent) == change(here, here) == change(left, left) == []
    assert change(silent, here) == ["worker_back"]
    assert change(here, left) == ["worker_left"]
    assert change(none, left) == change(silent, gone) == []


def test_the_state_of_a_study_is_told(database):
    study = make_study(database)
    watcher = watched(study)
    watcher.look()
    for state, kind in ((StudyState.PAUSED, "study_paused"), (StudyState.OPEN, "study_resumed")):
        with database.begin() as connection:
            studies.set_state(connection, study.study_id, state)
        assert kinds(watcher.look()) == [kind]
    delete_study(study)
    seen = watcher.look()
    assert (kinds(seen), seen.is_last) == (["study_deleted"], True)


def test_a_study_that_is_not_there_is_not_seen(database):
    assert Watcher(database, "absent", patience=Patience(seconds=0)).look() is None


def test_an_event_as_json_has_its_time_and_no_empty_field(database):
    study = make_study(database)
    watcher = watched(study)
    watcher.look()
    ask(study)
    (event,) = watcher.look().events
    document = json.loads(json.dumps(event.to_dict(), allow_nan=False))
    assert set(document) == {"at", "study", "kind", "words", "trial", "recipe", "worker"}
    assert document["at"].endswith("+00:00")


def test_a_curve_has_what_the_newest_attempt_saw(database):
    study = make_study(database)
    trial = ask(study)
    with database.begin() as connection:
        curves.add(connection, trial.claim, [curve_row(i, val_loss=1.0 + i) for i in range(1, 81)])
    shown = watched(study).look().now
    rows = shown.curves[trial.claim.id]
    assert [row.validation for row in rows] == list(range(17, 81))
    assert rows[-1].val_loss == 81.0


def test_a_database_that_is_away_for_a_moment_is_waited_for(postgres_url, postgres):
    proxy = Proxy(postgres.port)
    url = make_url(postgres_url).set(host="127.0.0.1", port=proxy.port)
    try:
        with opened(url.render_as_string(hide_password=False)) as database:
            study = make_study(database)
            watcher = Watcher(database, study.name, patience=Patience(seconds=60))
            watcher.look()
            ask(study)
            proxy.refuse()
            threading.Timer(0.5, proxy.resume).start()
            assert kinds(watcher.look()) == ["trial_started"]
    finally:
        proxy.close()
