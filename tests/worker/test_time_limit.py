"""A worker that knows when it has to be gone: what it asks for, and how it leaves."""

import math
import time
from dataclasses import replace

import pytest
from sites import opened_site, what_came_out
from tiny_studies import (
    VALIDATIONS,
    ask,
    curve_row,
    ended,
    make_study,
    opened,
    tiny_spec,
    tiny_task,
    work,
    worker_of,
)

from lrsearch.errors import SpecError
from lrsearch.report.summary import curve_rows, trial_rows
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import curves, leases, trials
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial.states import TrialState
from lrsearch.worker.scripts.training import SAVE_SOON_SECONDS
from lrsearch.worker.stop_signal import Stop
from lrsearch.worker.time_limit import LEAVE_SECONDS, SLURM_END, JobClock, TimeLimit, seconds_left
from lrsearch.worker.worker_process import tell_limit

HOUR = 3600.0


def test_without_a_limit_everything_is_allowed():
    limit = TimeLimit()
    limit.expect("search", 1e9)
    assert limit.allows("search")
    assert not limit.is_near


def test_a_job_that_cannot_be_saved_in_time_is_not_asked_for():
    limit = TimeLimit(HOUR)
    limit.expect("search", HOUR)
    assert not limit.allows("search")
    assert limit.allows("confirm")
    assert not limit.is_near


def test_what_steps_and_checkpoints_take_is_kept_for_the_end():
    limit = TimeLimit(HOUR)
    before = limit.reserve
    limit.saw_steps(10.0)
    limit.saw_steps(2.0)  # the longest counts
    limit.saw_save(3.0, among=4)
    assert (before, limit.reserve) == (LEAVE_SECONDS, LEAVE_SECONDS + 2 * (10.0 + 12.0))
    limit.keep(HOUR)
    assert limit.is_near


def test_a_job_teaches_its_limit_how_long_it_took_until_it_could_be_saved():
    limit = TimeLimit(HOUR)
    saved, never = JobClock(limit, "search"), JobClock(limit, "confirm")
    for may_save in (False, True, True):
        saved.look(may_save=may_save)
        never.look(may_save=False)
    time.sleep(0.05)
    saved.end()
    never.end()
    short = TimeLimit(LEAVE_SECONDS + 0.04)
    short._until_saved = limit._until_saved
    assert short.allows("search")
    assert not short.allows("confirm")


@pytest.mark.parametrize(
    ("option", "end", "left"),
    [
        (None, None, math.inf),
        (60.0, None, 60.0),
        (None, "1090", 90.0),
        (60.0, "1090", 60.0),
        (600.0, "1090", 90.0),
    ],
)
def test_the_nearer_of_the_option_and_slurms_own_limit_holds(option, end, left):
    assert seconds_left(option, {} if end is None else {SLURM_END: end}, now=1000.0) == left


def test_a_limit_of_slurm_that_is_no_number_is_refused_in_one_line():
    with pytest.raises(SpecError, match=r"SLURM_JOB_END_TIME is 'soon', but seconds"):
        seconds_left(None, {SLURM_END: "soon"})


def test_the_longest_complete_trial_says_how_long_a_command_may_take(sqlite_url):
    with opened(sqlite_url) as database:
        search = make_study(database)
        with database.read() as connection:
            assert curves.longest_training(connection, search.study_id) == 0.0
        rows = [curve_row(number) for number in range(1, VALIDATIONS + 1)]
        for state, seconds in ((TrialState.COMPLETE, 50.0), (TrialState.PRUNED, 70.0)):
            assert search.tell(ask(search), ended(state, seconds=seconds), rows)
        with database.read() as connection:
            assert curves.longest_training(connection, search.study_id) == 50.0


@pytest.mark.parametrize(
    ("fields", "kept", "longest"),
    [
        ({}, 0.0, 0.0),
        ({"train": "train.py"}, SAVE_SOON_SECONDS + 30.0, 0.0),
        ({"command": ["train", "{lr}"], "resume_args": ["--resume"]}, 30.0, 0.0),
        ({"command": ["train", "{lr}"]}, 30.0, 50.0),
    ],
    ids=["task", "script", "command that goes on", "command"],
)
def test_a_script_gets_its_time_to_end_and_a_command_that_to_its_end(
    sqlite_url, fields, kept, longest
):
    program = {"name": "own", "epochs": 4, "budget": {"trials": 1}, "end": {"grace": 30}, **fields}
    if "command" in fields:
        program |= {"confirm": "none", "report": {"val_loss": r"loss (\S+)"}}
    spec = StudySpec.from_dict(program) if fields else tiny_spec()
    limit, knowing = TimeLimit(HOUR), TimeLimit(HOUR)
    with opened(sqlite_url) as database:
        search = make_study(database)
        rows = [curve_row(number) for number in range(1, VALIDATIONS + 1)]
        assert search.tell(ask(search), ended(TrialState.COMPLETE, seconds=50.0), rows)
        tell_limit(limit, StoredStudy(database, replace(search.record, definition=spec.to_dict())))
    assert limit.reserve == LEAVE_SECONDS + kept
    for kind in ("search", "confirm"):
        knowing.expect(kind, longest)
        assert limit._until_saved.get(kind, 0.0) == knowing._until_saved[kind]


def test_a_worker_asks_for_nothing_that_it_could_not_save(sqlite_url):
    with opened(sqlite_url) as database:
        search = make_study(database)
        limit = TimeLimit(HOUR)
        limit.expect("search", HOUR)
        worker_of(search, tiny_task(), Stop(limit=limit)).run()
        with database.read() as connection:
            assert trials.everything(connection, search.study_id) == []
            assert leases.holders(connection, search.study_id) == []


@pytest.mark.slow
def test_at_its_limit_a_worker_saves_gives_back_and_ends_with_0(sqlite_url, tmp_path):
    """A real process; another goes on to the same bits."""
    fields = {"epochs": 100, "budget": {"trials": 2}, "pruning": "none", "confirm": "none"}
    fields["validate_every"] = {"steps": 30}
    with opened_site(sqlite_url, tmp_path) as site:
        search = make_study(site.database, **fields)
        site.say("slow")  # 12 s for a trial
        limited = site.worker("-v", "--time-limit", "12s")
        limited.succeed()
        assert "the time limit is near" in limited.err
        assert site.holders() == []
        assert trial_rows(search)[0]["state"] == "running"
        assert site.checkpoints()
        site.say("")
        site.worker().succeed()
        assert [row["attempts"] for row in trial_rows(search)] == [2, 1]
        rows, _ = curve_rows(search, number=None, all_attempts=True)
        places = [(row["trial"], row["validation"]) for row in rows]
        assert len(places) == len(set(places))  # nothing was trained twice
        undisturbed = make_study(site.database, name="undisturbed", **fields)
        work(undisturbed)
        assert what_came_out(search) == what_came_out(undisturbed)


@pytest.mark.parametrize("text", ["soon", "10", "0s"])
def test_a_limit_that_is_no_duration_is_refused_in_one_line(sqlite_url, tmp_path, text):
    with opened_site(sqlite_url, tmp_path) as site:
        refused = site.worker("--time-limit", text)
        assert refused.wait() == 1
        assert refused.err.startswith("Error: --time-limit ")
        assert len(refused.err.splitlines()) == 1
