"""Workers as users start, scale, interrupt and lose them: real processes on real databases. However
they end, the budget is exact, no trial is lost or counted twice, and no curve has a gap."""

import os
import random
import signal
from contextlib import contextmanager

import psutil
import pytest
import torch
from optuna.trial import TrialState as OptunaState
from processes import Command, finish, in_process, until
from tiny_studies import TASKS, TRIALS, VALIDATIONS, make_search, opened, tiny_task, work

from lrsearch import worker
from lrsearch.checkpoints import Checkpoints
from lrsearch.storage import confirmations, leases, studies, trials
from lrsearch.storage.tables import TrialState
from lrsearch.study.database import prepare
from lrsearch.study.search import Search
from lrsearch.summary import curve_rows, summarize, trial_rows
from lrsearch.training import store

OPTUNAS = {
    "running": OptunaState.RUNNING,
    "complete": OptunaState.COMPLETE,
    "pruned": OptunaState.PRUNED,
    "diverged": OptunaState.PRUNED,
    "failed": OptunaState.FAIL,
}


class Site:
    """A database, a folder to work in, and the commands that users run there."""

    def __init__(self, url, folder, database):
        self.url, self.folder, self.database = url, folder, database
        self._control = folder.parent / "control"
        self._commands = []

    def say(self, word):
        """Tell all trials in training to go on (""), to be `slow`, or to `hold`."""
        part = self._control.with_suffix(".part")
        part.write_text(word)
        part.replace(self._control)

    def held(self, count):
        """Wait until so many workers are held in the middle of a trial."""
        until(lambda: len(list(self._control.parent.glob("held.*"))) >= count)

    def hold_run(self, workers):
        """A `lrsearch run` whose workers are all held in the middle of a trial; and they."""
        self.say("slow")  # not `hold` yet: `run` tries one batch itself
        run = self.run(workers=workers)
        until(lambda: self.row() is not None and self.counts()["running"] == workers)
        self.say("hold")
        self.held(workers)
        processes = run.children()
        assert len(processes) == workers
        return run, processes

    def command(self, *words):
        command = Command(
            *words,
            folder=self.folder,
            LRSEARCH_STORAGE=self.url,
            TINY_CONTROL=str(self._control),
            OMP_NUM_THREADS="1",
        )
        self._commands.append(command)
        return command

    def worker(self, *options):
        return self.command("worker", "tiny", "--studies", TASKS, *options)

    def run(self, *options, workers=1):
        return self.command("run", TASKS / "tiny.yaml", "--workers", workers, *options)

    @property
    def search(self):
        return Search.open(self.database, "tiny")

    def row(self):
        with self.database.read() as connection:
            return studies.by_name(connection, "tiny")

    def counts(self):
        with self.database.read() as connection:
            return studies.counts(connection, self.row()["study_id"])

    def ended(self):
        counts = self.counts()
        return sum(counts.values()) - counts[TrialState.RUNNING]

    def holders(self):
        """The workers that have a trial or a run in their hands."""
        study = self.row()["study_id"]
        with self.database.read() as connection:
            return leases.holders(connection, study)

    def checkpoints(self):
        """The ids of the trials that have one."""
        files = self.folder.glob("lrsearch-checkpoints/**/*.pt")
        return sorted({store.owner(path.name)[1] for path in files})

    def close(self):
        for command in self._commands:
            if command.alive:
                for process in [*command.children(), psutil.Process(command.pid)]:
                    process.kill()


def gone(process):
    """Whether a process has ended, reaped or not."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def opened_site(url, folder):
    with opened(url) as database:
        site = Site(url, folder / "work", database)
        site.folder.mkdir()
        try:
            yield site
        finally:
            site.close()


@pytest.fixture
def site(prepared_url, tmp_path):
    with opened_site(prepared_url, tmp_path) as site:
        yield site


@pytest.fixture
def sqlite_site(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    with opened(url) as database:
        prepare(database)
    with opened_site(url, tmp_path) as site:
        yield site


@pytest.fixture
def postgres_site(postgres, tmp_path):
    name = postgres.create()
    with opened_site(postgres.url(name), tmp_path) as site:
        prepare(site.database)
        yield site
    postgres.drop(name)


def assert_exact(search, total=TRIALS):
    """Budget used and not exceeded, nothing lost, nothing twice, both halves of the study agree."""
    with search.database.read() as connection:
        study = studies.by_id(connection, search.study_id)
        rows = trials.everything(connection, search.study_id)
        runs = confirmations.everything(connection, search.study_id)
    assert study["trials_used"] == total
    assert [row["ticket"] for row in rows] == list(range(1, total + 1))
    assert sorted(row["number"] for row in rows) == list(range(total))
    assert {row["state"] for row in rows} <= {"complete", "pruned", "diverged"}
    assert study["epochs_reserved"] == 0
    assert study["epochs_used"] == sum(row["epochs"] for row in rows + runs)
    assert {run["state"] for run in runs} <= {"complete", "diverged"}
    assert len(runs) == total // 4
    theirs = search.study.get_trials(deepcopy=False)
    assert len(theirs) == total
    for row in rows:
        trial = theirs[row["number"]]
        assert (trial.number, trial.state) == (row["number"], OPTUNAS[row["state"]])
        assert row["state"] != "complete" or trial.value == row["value"]
    curves = {}
    for point in curve_rows(search, number=None, all_attempts=False)[0]:
        curves.setdefault(point["trial"], []).append(point["validation"])
    for row in rows:
        seen = curves.get(row["number"], [])
        assert seen == list(range(1, len(seen) + 1))
        assert row["state"] != "complete" or len(seen) == VALIDATIONS
        assert row["state"] != "pruned" or len(seen) == row["epochs"] * 2
    assert summarize(search)["state"] == "finished"


def what_came_out(search):
    """Everything that a study found, without who found it and how long it took."""
    gone_by = ("seconds", "attempts", "attempt")
    curves, _ = curve_rows(search, number=None, all_attempts=False)
    with search.database.read() as connection:
        runs = confirmations.everything(connection, search.study_id)
    return {
        "trials": [
            {k: v for k, v in row.items() if k not in gone_by} for row in trial_rows(search)
        ],
        "curves": [{k: v for k, v in row.items() if k not in gone_by} for row in curves],
        "runs": [(run["number"], run["seed"], run["value"], run["metrics"]) for run in runs],
    }


# Fleets


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_share_one_exact_budget(site, workers):
    search = make_search(site.database, pruning="none")
    alone = make_search(site.database, pruning="none", name="alone")
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
                found.append((row["recipe"], row["state"], row["value"]))
    assert by_ticket[0] == by_ticket[1]


@pytest.mark.slow
def test_sixteen_workers_share_one_sqlite_file(sqlite_site):
    search = make_search(sqlite_site.database, pruning="none", budget={"trials": 32})
    sqlite_site.say("hold")
    commands = [sqlite_site.worker("-v") for _ in range(16)]
    sqlite_site.held(16)
    sqlite_site.say("")
    for command in commands:
        command.succeed()
        assert "locked" not in command.err
    assert_exact(search, total=32)


def test_a_worker_of_a_finished_study_ends_at_once(sqlite_site):
    search = make_search(sqlite_site.database, budget={"trials": 2})
    work(search)
    before = what_came_out(search)
    sqlite_site.worker().succeed()
    assert what_came_out(search) == before


# SIGKILL


def test_the_rest_finish_what_a_killed_worker_had(site):
    search = make_search(site.database)
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
    search = make_search(sqlite_site.database)
    sqlite_site.say("hold")
    victim = sqlite_site.worker()
    sqlite_site.held(1)
    victim.signal(signal.SIGKILL)
    victim.wait()
    sqlite_site.say("")
    sqlite_site.worker().succeed()
    undisturbed = make_search(sqlite_site.database, name="undisturbed")
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
    out = site.run(workers=2).succeed()
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
    search = make_search(sqlite_site.database, budget={"trials": 4})
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
    assert run["attempt"] == 2


def die_before_optuna_is_told(url):
    """Be a worker that is killed when its second trial has ended here, and not yet in Optuna."""
    tell_optuna, told = Search._tell_optuna, []

    def die_or_tell(search, trial_id, values, outcome):
        if told:
            os.kill(os.getpid(), signal.SIGKILL)
        told.append(trial_id)
        tell_optuna(search, trial_id, values, outcome)

    Search._tell_optuna = die_or_tell
    with opened(url) as database:
        search = Search.open(database, "tiny")
        cpu = torch.device("cpu")
        worker.Worker(search, tiny_task(), cpu, worker.Stop()).run()


def test_a_survivor_tells_optuna_what_a_killed_worker_could_not(sqlite_site):
    search = make_search(sqlite_site.database)
    sqlite_site.say("hold")
    survivor = sqlite_site.worker()
    sqlite_site.held(1)
    assert finish(in_process(die_before_optuna_is_told, sqlite_site.url)) == [-signal.SIGKILL]
    sqlite_site.say("")
    survivor.succeed()
    assert_exact(search)


def die_after_the_checkpoint(url, folder):
    """Be a worker that is asked to stop after three validations, and killed once that is saved."""
    os.chdir(folder)
    torch.set_num_threads(1)
    stop, add, save = worker.Stop(), worker.CurveWriter.add, Checkpoints.save

    def add_and_stop(writer, row):
        add(writer, row)
        stop.signalled = row.validation == 3

    def save_and_die(checkpoints, claim, training, pending=()):
        assert save(checkpoints, claim, training, pending)
        os.kill(os.getpid(), signal.SIGKILL)

    worker.CurveWriter.add, Checkpoints.save = add_and_stop, save_and_die
    with opened(url) as database:
        search = Search.open(database, "tiny")
        worker.Worker(search, tiny_task(), torch.device("cpu"), stop).run()


def test_a_worker_that_dies_right_after_its_checkpoint_leaves_no_gap(sqlite_site, monkeypatch):
    search = make_search(sqlite_site.database)
    process = in_process(die_after_the_checkpoint, sqlite_site.url, sqlite_site.folder)
    assert finish(process) == [-signal.SIGKILL]
    assert sqlite_site.checkpoints() == [1]
    monkeypatch.chdir(sqlite_site.folder)
    assert worker.release_dead(search) == 1
    work(search)
    assert_exact(search)
    rows, _ = curve_rows(search, number=0, all_attempts=False)
    assert [row["attempt"] for row in rows] == [1] * 3 + [2] * 5


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
    sqlite_site.run(workers=1).succeed()
    search = sqlite_site.search
    assert_exact(search)
    assert trial_rows(search)[interrupted]["attempts"] == 2
    rows, _ = curve_rows(search, number=interrupted, all_attempts=False)
    assert {row["attempt"] for row in rows} >= {2}
    assert sqlite_site.checkpoints() == []
    undisturbed = make_search(sqlite_site.database, name="undisturbed")
    work(undisturbed)
    assert what_came_out(search) == what_came_out(undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interrupted_worker_leaves_its_trial_to_the_next(sqlite_site, number):
    search = make_search(sqlite_site.database)
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
    search = make_search(sqlite_site.database, budget={"trials": 4})
    work(search)
    before = what_came_out(search)
    again = sqlite_site.run("--trials", 4).succeed()
    assert "study tiny is finished; nothing is left to do" in again
    assert "Best recipe, confirmed with fresh seeds" in again
    assert what_came_out(search) == before
    further = sqlite_site.run("--trials", 7).succeed()
    assert "nothing is left to do" not in further
    after = what_came_out(search)
    assert len(after["trials"]) == 7
    undisturbed = make_search(sqlite_site.database, name="whole", budget={"trials": 7})
    work(undisturbed)
    assert after["trials"] == what_came_out(undisturbed)["trials"]


def test_a_stopped_study_ends_what_runs_and_confirms(sqlite_site):
    search = make_search(sqlite_site.database, pruning="none")
    sqlite_site.say("slow")
    command = sqlite_site.worker()
    until(lambda: sqlite_site.ended() >= 4)
    sqlite_site.say("hold")
    sqlite_site.held(1)
    out = sqlite_site.command("study", "stop", "tiny").succeed()
    assert "study tiny is stopped" in out
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
    search = make_search(sqlite_site.database)
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
    search = make_search(site.database, budget={"trials": total})
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
