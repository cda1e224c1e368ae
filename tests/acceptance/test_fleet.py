"""Workers as users start, scale, interrupt and lose them: real processes on real databases. However
they end, the budget is exact, no trial is lost or counted twice, and no curve has a gap."""

import os
import random
import signal

import psutil
import pytest
import torch
from processes import finish, in_process, until
from sites import assert_exact, gone, what_came_out
from tiny_studies import TRIALS, make_study, opened, tiny_task, work, worker_of

from lrsearch.report.summary import curve_rows, summarize, trial_rows
from lrsearch.storage import confirmations, trials
from lrsearch.study import status
from lrsearch.study.open_study import OpenStudy
from lrsearch.worker.checkpoints import Checkpoints
from lrsearch.worker.leases.curve_buffer import CurveBuffer
from lrsearch.worker.stop_signal import Stop

# Fleets


# Further cases: one worker is what most other tests have.
@pytest.mark.parametrize("workers", [*(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2)), 4])
def test_any_number_of_workers_share_one_exact_budget(site, workers):
    search = make_study(site.database, pruning="none")
    alone = make_study(site.database, pruning="none", name="alone")
    work(alone)
    site.say("hold")
    commands = [site.worker() for _ in range(workers)]
    site.held(workers)
    assert site.counts()["running"] == workers
    site.say("")
    for command in commands:
        command.succeed()
    assert_exact(search)
    assert {row["attempts"] for row in trial_rows(search)} == {1}
    # The sampler's random start depends on the ticket alone, a trial's values on its recipe alone.
    by_ticket = [[], []]
    for found, owner in zip(by_ticket, (search, alone), strict=True):
        with site.database.read() as connection:
            for row in trials.everything(connection, owner.study_id)[:10]:
                found.append((row.recipe, row.state, row.value))
    assert by_ticket[0] == by_ticket[1]


@pytest.mark.slow
def test_sixteen_workers_share_one_sqlite_file(sqlite_site):
    search = make_study(sqlite_site.database, pruning="none", budget={"trials": 32})
    sqlite_site.say("hold")
    commands = [sqlite_site.worker("-v") for _ in range(16)]
    sqlite_site.held(16)
    sqlite_site.say("")
    for command in commands:
        command.succeed()
        assert "locked" not in command.err
    assert_exact(search, total=32)


def test_a_worker_of_a_finished_study_ends_at_once(sqlite_site):
    search = make_study(sqlite_site.database, budget={"trials": 2})
    work(search)
    before = what_came_out(search)
    sqlite_site.worker().succeed()
    assert what_came_out(search) == before


# SIGKILL


def test_the_rest_finish_what_a_killed_worker_had(site):
    search = make_study(site.database)
    site.say("hold")
    victim, survivor = site.worker(), site.worker()
    site.held(2)
    victim.signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    site.say("")
    survivor.succeed()
    assert_exact(search)
    assert sorted(row["attempts"] for row in trial_rows(search)) == [1] * (TRIALS - 1) + [2]
    assert site.holders() == []


def test_a_killed_trial_ends_with_the_values_it_would_have_had(sqlite_site):
    search = make_study(sqlite_site.database)
    sqlite_site.say("hold")
    victim = sqlite_site.worker()
    sqlite_site.held(1)
    victim.signal(signal.SIGKILL)
    victim.wait()
    sqlite_site.say("")
    sqlite_site.worker().succeed()
    undisturbed = make_study(sqlite_site.database, name="undisturbed")
    work(undisturbed)
    assert trial_rows(search)[0]["attempts"] == 2
    assert what_came_out(search) == what_came_out(undisturbed)


def test_a_run_that_was_killed_with_all_its_workers_goes_on(postgres_site):
    site = postgres_site
    run, workers = site.hold_run(2)
    for process in [psutil.Process(run.pid), *workers]:
        process.kill()
    assert run.wait() == -signal.SIGKILL
    until(lambda: all(gone(process) for process in workers))
    assert site.counts()["running"] == 2
    site.say("")
    out = site.run(workers=1).succeed()
    assert_exact(site.search)
    assert sorted(row["attempts"] for row in trial_rows(site.search)) == [1] * 10 + [2] * 2
    assert "Best recipe" in out


def test_workers_end_by_themselves_when_their_run_is_killed(sqlite_site):
    run, (orphan,) = sqlite_site.hold_run(1)
    trial = sqlite_site.ended()
    run.signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    sqlite_site.say("slow")  # not so fast that the study would be over before they look
    until(lambda: gone(orphan))
    assert sqlite_site.ended() < TRIALS
    assert sqlite_site.holders() == []
    assert sqlite_site.checkpoints() == [trial + 1]
    sqlite_site.say("")
    sqlite_site.worker().succeed()
    assert_exact(sqlite_site.search)
    assert trial_rows(sqlite_site.search)[trial]["attempts"] == 2
    assert sqlite_site.checkpoints() == []


def test_a_worker_killed_while_it_confirms_is_replaced(sqlite_site):
    search = make_study(sqlite_site.database, budget={"trials": 4})
    sqlite_site.say("slow")
    victim = sqlite_site.worker()
    until(lambda: sqlite_site.ended() == 4)
    sqlite_site.say("hold")
    sqlite_site.held(1)
    victim.signal(signal.SIGKILL)
    victim.wait()
    sqlite_site.say("")
    sqlite_site.worker().succeed()
    assert_exact(search, total=4)
    with sqlite_site.database.read() as connection:
        (run,) = confirmations.everything(connection, search.study_id)
    assert run.attempt == 2


def die_after_the_checkpoint(url, folder):
    """Be a worker that is asked to stop after two validations, and killed once that is saved."""
    os.chdir(folder)
    torch.set_num_threads(1)
    stop, add, save = Stop(), CurveBuffer.add, Checkpoints.save

    def add_and_stop(rows, row):
        add(rows, row)
        stop.signalled = row.validation == 2

    def save_and_die(checkpoints, claim, training, pending=(), taken=None):
        assert save(checkpoints, claim, training, pending, taken=taken)
        os.kill(os.getpid(), signal.SIGKILL)

    CurveBuffer.add, Checkpoints.save = add_and_stop, save_and_die
    with opened(url) as database:
        search = OpenStudy.open(database, "tiny")
        worker_of(search, tiny_task(), stop).run()


def test_a_worker_that_dies_right_after_its_checkpoint_leaves_no_gap(sqlite_site, monkeypatch):
    search = make_study(sqlite_site.database)
    process = in_process(die_after_the_checkpoint, sqlite_site.url, sqlite_site.folder)
    assert finish(process) == [-signal.SIGKILL]
    assert sqlite_site.checkpoints() == [1]
    monkeypatch.chdir(sqlite_site.folder)
    assert len(status.reap(search)) == 1
    work(search)
    assert_exact(search)
    rows, _ = curve_rows(search, number=0, all_attempts=False)
    # The first was written at its rung; the second waited, and came with the checkpoint.
    assert [row["attempt"] for row in rows] == [1] + [2] * 7


# Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interrupted_run_goes_on_to_the_same_values(sqlite_site, number):
    run, (process,) = sqlite_site.hold_run(1)
    run.signal(number)
    sqlite_site.say("slow")
    assert run.wait() == 130
    assert gone(process)
    assert run.err.splitlines()[-1].startswith("Interrupted")
    assert "Traceback" not in run.err
    assert sqlite_site.holders() == []
    (left,) = sqlite_site.checkpoints()
    interrupted = left - 1
    assert sqlite_site.ended() == interrupted
    if number == signal.SIGTERM:
        return  # the rest is the same road
    sqlite_site.say("")
    sqlite_site.worker().succeed()
    search = sqlite_site.search
    assert_exact(search)
    assert trial_rows(search)[interrupted]["attempts"] == 2
    rows, _ = curve_rows(search, number=interrupted, all_attempts=False)
    assert {row["attempt"] for row in rows} >= {2}
    assert sqlite_site.checkpoints() == []
    undisturbed = make_study(sqlite_site.database, name="undisturbed")
    work(undisturbed)
    assert what_came_out(search) == what_came_out(undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interrupted_worker_leaves_its_trial_to_the_next(sqlite_site, number):
    search = make_study(sqlite_site.database)
    sqlite_site.say("hold")
    first = sqlite_site.worker()
    sqlite_site.held(1)
    first.signal(number)
    sqlite_site.say("slow")
    first.succeed()
    assert sqlite_site.holders() == []
    assert len(sqlite_site.checkpoints()) == 1
    assert sqlite_site.ended() < TRIALS
    sqlite_site.say("")
    sqlite_site.worker().succeed()
    assert_exact(search)
    assert sqlite_site.checkpoints() == []


# Going on


def test_a_finished_run_says_so_again_and_a_larger_total_goes_on(sqlite_site):
    search = make_study(sqlite_site.database, budget={"trials": 4})
    work(search)
    before = what_came_out(search)
    again = sqlite_site.run("--trials", 4).succeed()
    assert "study tiny is finished; nothing is left to do" in again
    assert "Best recipe" in again
    assert what_came_out(search) == before
    further = sqlite_site.run("--trials", 7).succeed()
    assert "nothing is left to do" not in further
    after = what_came_out(search)
    assert len(after["trials"]) == 7
    undisturbed = make_study(sqlite_site.database, name="whole", budget={"trials": 7})
    work(undisturbed)
    assert after["trials"] == what_came_out(undisturbed)["trials"]


def test_a_finished_study_ends_what_runs_and_confirms(sqlite_site):
    search = make_study(sqlite_site.database, pruning="none")
    sqlite_site.say("slow")
    command = sqlite_site.worker()
    until(lambda: sqlite_site.ended() >= 4)
    sqlite_site.say("hold")
    sqlite_site.held(1)
    out = sqlite_site.command("study", "finish", "tiny").succeed()
    assert "study tiny starts no more trials" in out
    started = sum(sqlite_site.counts().values())
    assert started < TRIALS
    sqlite_site.say("")
    command.succeed()
    result = summarize(search)
    assert (result["state"], sum(result["counts"].values())) == ("finished", started)
    assert result["counts"]["running"] == 0
    with sqlite_site.database.read() as connection:
        assert confirmations.everything(connection, search.study_id)
    # Resumed, it goes on to its budget.
    sqlite_site.command("study", "resume", "tiny").succeed()
    sqlite_site.worker().succeed()
    assert sqlite_site.ended() == TRIALS


def test_a_paused_study_waits_until_it_is_resumed(sqlite_site):
    search = make_study(sqlite_site.database)
    sqlite_site.say("hold")
    command = sqlite_site.worker()
    sqlite_site.held(1)
    assert "study tiny is paused" in sqlite_site.command("study", "pause", "tiny").succeed()
    sqlite_site.say("")
    until(lambda: sqlite_site.ended() == 1)
    assert summarize(search)["state"] == "paused"
    assert command.alive
    sqlite_site.command("study", "resume", "tiny").succeed()
    command.succeed()
    assert_exact(search)
    assert {row["attempts"] for row in trial_rows(search)} == {1}


# Everything at once


@pytest.mark.slow
def test_a_fleet_that_is_killed_again_and_again_stays_exact(site):
    total, chance = 60, random.Random(0)
    search = make_study(site.database, budget={"trials": total})
    site.say("slow")
    fleet = [site.worker() for _ in range(4)]
    for _ in range(25):
        before = site.ended()
        until(lambda before=before: site.ended() > before or site.ended() == total)
        victim = chance.choice(fleet)
        number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
        if victim.alive:
            victim.signal(number)
            assert victim.wait() in (0, -number)
        fleet[fleet.index(victim)] = site.worker()
    site.say("")
    for command in fleet:
        command.succeed()
    assert_exact(search, total)
    assert max(row["attempts"] for row in trial_rows(search)) > 1
    assert site.holders() == []
