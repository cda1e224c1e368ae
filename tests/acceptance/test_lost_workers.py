"""Workers that hang, sleep, are taken away or asked to let a trial go: real processes."""

import json
import signal

import pytest
from postgres import Server
from processes import until
from sites import assert_exact, opened_site, what_came_out
from sqlalchemy import text
from tiny_studies import TRIALS, ask, make_study, work

from lrsearch.report.summary import curve_rows, summarize, trial_rows
from lrsearch.storage import leases
from lrsearch.storage import workers as storage_workers
from lrsearch.study.prepare_database import prepare
from lrsearch.trial.states import TrialState

#: Long enough that a busy machine renews in time.
SHORT = {"seconds": 2.0, "stall": 120.0}


def attempts(search):
    return sorted(row["attempts"] for row in trial_rows(search))


def notes(site, search):
    with site.database.read() as connection:
        return [row.what for row in storage_workers.notes(connection, search.study_id, limit=100)]


def worker_of(site, search):
    """The name under which the first worker holds its trial."""
    with site.database.read() as connection:
        return leases.holders(connection, search.study_id)


def test_a_stopped_worker_loses_its_trial_and_drops_it_when_it_goes_on(site):
    search = make_study(site.database, lease=SHORT)
    site.say("hold")
    sleeper = site.worker("-v")
    site.held(1)
    (name,) = worker_of(site, search)
    sleeper.signal(signal.SIGSTOP)
    site.say("slow")
    other = site.worker()
    until(lambda: any(row["attempts"] == 2 for row in trial_rows(search)))
    sleeper.signal(signal.SIGCONT)
    sleeper.succeed()
    other.succeed()
    assert_exact(search)
    assert attempts(search) == [1] * (TRIALS - 1) + [2]
    dropped = [line for line in sleeper.err.splitlines() if "drops it" in line]
    assert len(dropped) == 1, sleeper.err
    assert "Traceback" not in sleeper.err + other.err
    assert any(name in line for line in notes(site, search))


def test_a_hung_step_loses_its_lease_though_its_process_lives(sqlite_site):
    search = make_study(sqlite_site.database, lease={"seconds": 2.0, "stall": 2.0})
    sqlite_site.say("hold")
    hung = sqlite_site.worker()
    sqlite_site.held(1)
    free = sqlite_site.free_worker()
    until(lambda: any(row["attempts"] == 2 for row in trial_rows(search)))
    assert hung.alive
    until(lambda: sqlite_site.ended() == TRIALS)
    sqlite_site.say("")
    hung.succeed()
    free.succeed()
    assert_exact(search)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=["SIGTERM", "SIGUSR1"])
def test_a_preempted_worker_leaves_a_checkpoint_from_which_the_trial_goes_on(sqlite_site, number):
    search = make_study(sqlite_site.database)
    sqlite_site.say("slow")
    first = sqlite_site.worker()
    until(lambda: curve_rows(search, number=None, all_attempts=True)[0])
    sqlite_site.say("hold")
    sqlite_site.held(1)
    first.signal(number)
    sqlite_site.say("slow")
    first.succeed()
    assert worker_of(sqlite_site, search) == []
    sqlite_site.say("")
    sqlite_site.worker().succeed()
    assert_exact(search)
    rows, _ = curve_rows(search, number=None, all_attempts=True)
    # Nothing was trained twice: no validation has rows of two attempts.
    places = [(row["trial"], row["validation"]) for row in rows]
    assert len(places) == len(set(places))
    undisturbed = make_study(sqlite_site.database, name="undisturbed")
    work(undisturbed)
    assert what_came_out(search) == what_came_out(undisturbed)


def test_a_trial_that_its_worker_dies_in_three_times_has_failed(sqlite_site):
    search = make_study(sqlite_site.database, budget={"trials": 2}, confirm="none")
    for _ in range(3):
        sqlite_site.say("hold")
        victim = sqlite_site.worker()
        sqlite_site.held(1)
        victim.signal(signal.SIGKILL)
        victim.wait()
        sqlite_site.release_held()
    sqlite_site.say("")
    sqlite_site.worker().succeed()
    first, second = trial_rows(search)
    assert (first["state"], first["attempts"]) == (TrialState.FAILED, 3)
    assert "died three times" in first["reason"]
    assert second["state"] != TrialState.FAILED
    summary = summarize(search)
    assert (summary["state"], summary["budget"]["trials"]["used"]) == ("finished", 2)


def test_a_running_trial_is_stopped_shown_and_run_again(sqlite_site):
    search = make_study(
        sqlite_site.database, lease={"seconds": 1.5}, pruning="none", budget={"trials": 3}
    )
    sqlite_site.say("hold")
    worker = sqlite_site.worker()
    sqlite_site.held(1)
    shown = json.loads(sqlite_site.command("trial", "show", "tiny", 0, "--json").succeed())
    assert (shown["state"], shown["worker"], shown["attempts"]) == (
        "running",
        *worker_of(sqlite_site, search),
        1,
    )
    said = sqlite_site.command("trial", "stop", "tiny", 0).succeed()
    assert "asked to stop" in said
    sqlite_site.say("slow")
    until(lambda: trial_rows(search)[0]["state"] != "running")
    assert trial_rows(search)[0]["reason"] == "stopped by lrsearch trial stop"
    again = sqlite_site.command("trial", "add", "tiny", "--like", 0).succeed()
    assert "added to tiny: " in again
    sqlite_site.say("")
    worker.succeed()
    rows = trial_rows(search)
    assert [row["state"] for row in rows] == ["pruned", "complete", "complete"]
    twice = [row for row in rows if row["recipe"] == rows[0]["recipe"]]
    assert len(twice) == 2
    ended = sqlite_site.command("trial", "stop", "tiny", 0)
    assert ended.wait() == 1
    assert "has ended already: pruned" in ended.err
    text = sqlite_site.command("trial", "show", "tiny", 0).succeed()
    assert "trial 0 of tiny: pruned\n  Stopped by lrsearch trial stop." in text


def test_a_trial_that_nobody_holds_is_stopped_now_or_left_as_it_is(sqlite_site):
    search = make_study(sqlite_site.database, budget={"trials": 3}, confirm="none")
    begun, bare = ask(search, "a:1:1"), ask(search, "b:1:1")
    with sqlite_site.database.begin() as connection:
        leases.release(connection, search.study_id, ["a:1:1", "b:1:1"])
        connection.execute(text("UPDATE lr_trial SET recipe = NULL WHERE ticket = 2"))
    assert "trial 0 is stopped" in sqlite_site.command("trial", "stop", "tiny", 0).succeed()
    refused = sqlite_site.command("trial", "stop", "tiny", 1)
    assert refused.wait() == 1
    assert "begins trial 1" in refused.err
    first, second, *_ = trial_rows(search)
    assert (first["state"], first["attempts"]) == ("pruned", begun.claim.attempt + 1)
    assert (second["state"], second["attempts"]) == ("running", bare.claim.attempt)
    assert sqlite_site.holders() == []


def test_workers_shows_who_works_on_what_and_who_fell_silent(sqlite_site):
    search = make_study(sqlite_site.database, lease={"seconds": 1.0, "stall": 100})
    assert "nobody works on tiny" in sqlite_site.command("status", "tiny").succeed()
    sqlite_site.say("hold")
    worker = sqlite_site.worker()
    sqlite_site.held(1)

    def listed(*options):
        return json.loads(sqlite_site.command("status", "tiny", "--json", *options).succeed())

    (row,) = until(lambda: [row for row in listed() if row["doing"]])
    assert (row["state"], row["doing"], row["device"]) == ("working", "trial 0", "cpu")
    assert row["worker"] == worker_of(sqlite_site, search)[0]
    worker.signal(signal.SIGSTOP)
    until(lambda: listed()[0]["state"] == "silent")
    worker.signal(signal.SIGCONT)
    sqlite_site.say("")
    worker.succeed()
    assert listed() == []
    assert [row["state"] for row in listed("--all")] == ["ended"]


def test_workers_outlive_a_server_that_restarts_and_one_that_is_killed(tmp_path):
    server = Server(synchronous_commit="on")
    server.start()
    try:
        with opened_site(server.url(server.create()), tmp_path) as site:
            prepare(site.database)
            search = make_study(site.database)
            site.say("slow")
            workers = [site.worker() for _ in range(2)]
            until(lambda: site.ended() >= 1)
            server.restart()
            until(lambda: site.ended() >= 4)
            server.kill()
            server.start()
            until(lambda: site.ended() >= 6)
            site.say("")
            for worker in workers:
                worker.succeed()
            assert_exact(search)
            assert attempts(search) == [1] * TRIALS
            for worker in workers:
                assert "the database answers again after" in worker.err
                assert "Traceback" not in worker.err
    finally:
        server.stop()
