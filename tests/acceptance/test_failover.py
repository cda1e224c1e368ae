"""A database fails over to a replica that lacks its last commits: what workers trained is whole."""

import json
import sys
from dataclasses import replace

import pytest
from failover import replicated
from processes import until
from sites import assert_exact, opened_site
from tiny_studies import make_study, opened, tiny_task, work, worker_of
from torch.nn.functional import mse_loss

from lrsearch.storage import trials
from lrsearch.storage.location import READ_VARIABLE
from lrsearch.study.prepare_database import prepare
from lrsearch.study.repair import repair

sys.path.insert(0, "benchmarks")

import chaos_checks

ROWS_OF_RUNNING = """
SELECT count(*) FROM lrsearch.lr_curve JOIN lrsearch.lr_trial ON id = trial WHERE state = 'running'
"""
ENDED = "SELECT trials_ended FROM lrsearch.lr_study"
#: Whether the third trial has one.
HAS_RECIPE = (
    "SELECT EXISTS (SELECT 1 FROM lrsearch.lr_trial WHERE number = 2 AND recipe IS NOT NULL)"
)
LEASE = {"seconds": 1.5, "stall": 60}


@pytest.fixture
def pair():
    with replicated() as pair:
        yield pair


@pytest.fixture
def site(pair, tmp_path):
    with opened(pair.primary.url("postgres")) as database:
        prepare(database)
    with opened_site(pair.url("postgres"), tmp_path) as site:
        yield site


def number(server, query):
    [(found,)] = server.execute(query)
    return found


@pytest.mark.slow
def test_whoever_only_reads_may_read_from_the_replica(pair, site, tmp_path):
    search = make_study(site.database, budget={"trials": 2}, confirm="none")
    work(search)
    pair.catch_up()
    words = ("study", "trials", "tiny", "--csv")
    told = site.command(*words).succeed()
    site.environment = {READ_VARIABLE: pair.replica.url("postgres")}
    assert site.command(*words).succeed() == told != ""
    shown = site.command("study", "show", "tiny", "--json")
    document = json.loads(shown.succeed())
    assert document["replica"]["last_change_seconds"] > 0
    assert document["replica"]["streaming"] is document["replica"]["shows_all_received"] is True
    assert shown.err.startswith("replica: the last change that it shows is ")
    assert shown.err.count("\n") == 1
    assert "report.html" in site.command("report", "tiny", "--out", "report").succeed()
    (tmp_path / "replica").mkdir()
    with opened_site(pair.replica.url("postgres"), tmp_path / "replica") as there:
        pause = there.command("study", "pause", "tiny")
        assert pause.wait() == 1
        assert pause.err.count("\n") == 1
        assert "the server is a replica or in maintenance" in pause.err


def hold_at_start(site, pair):
    """Hold the worker in a trial that has no rows in the database yet."""
    while True:
        site.release_held()
        site.say("hold")
        site.held(1)
        if number(pair.primary, ROWS_OF_RUNNING) == 0:
            return
        site.say("slow")
        until(lambda: number(pair.primary, ROWS_OF_RUNNING) == 0)


@pytest.mark.parametrize(
    "pruning", [{"rule": "asynchronous"}, pytest.param(None, marks=pytest.mark.slow)]
)
def test_commits_that_a_failover_lost_are_made_again(site, pair, pruning):
    lease = {**LEASE, "seconds": 10.0}  # that outlasts a failover beside other tests
    search = make_study(site.database, lease=lease, **({"pruning": pruning} if pruning else {}))
    site.say("slow")
    worker = site.worker()
    until(lambda: number(pair.primary, ENDED) >= 2)
    hold_at_start(site, pair)
    pair.catch_up()
    pair.stream.silence()
    site.say("slow")
    until(lambda: number(pair.primary, ROWS_OF_RUNNING) > 0)
    site.release_held()
    site.say("hold")
    site.held(1)
    pair.fail_over()
    assert number(pair.replica, ROWS_OF_RUNNING) == 0
    site.say("")
    worker.succeed()
    assert_exact(search)
    assert "had lost rows of trial" in worker.err
    found = chaos_checks.look(search)
    same = chaos_checks.same_bits(found, tiny_task())
    for check in (chaos_checks.whole_curves(found), chaos_checks.rungs(found), *same):
        assert check.broken == [], check.what
    assert repair(search).wrong == []


def batch_size_that(pair, search, number):
    """The tiny task's; of the replica's commits this trial's claim is the last, its recipe none."""
    asked = []

    def batch_size(params):
        with search.database.read() as connection:
            row = trials.by_number(connection, search.study_id, number)
        if row is not None and not asked:
            asked.append(None)
            pair.catch_up()
            pair.stream.silence()
        return 16

    return batch_size


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["asynchronous", "planned"])
def test_a_recipe_that_a_failover_lost_is_recorded_again(pair, site, caplog, rule):
    pruning = {"rule": rule, "rungs": [0.15, 0.4]}
    search = make_study(site.database, pruning=pruning, lease=LEASE, budget={"trials": 4})
    steps = []

    def loss(output, target):
        if output.requires_grad and len(steps) < 8 and number(pair.primary, HAS_RECIPE):
            steps.append(None)
            if len(steps) == 8:  # between its two rungs
                pair.fail_over()
                assert number(pair.replica, HAS_RECIPE) is False
        return mse_loss(output, target)

    worker = worker_of(
        search, replace(tiny_task(), prepare=lambda task: replace(task, loss=loss)), fuse="off"
    )
    worker.program.batch_size = batch_size_that(pair, search, 2)
    worker.run()
    assert "had lost rows of trial 2" in caplog.text
    found = chaos_checks.look(search)
    for check in chaos_checks.of_study(found, 4, tiny_task()):
        assert check.broken == [], check.what
    assert repair(search).wrong == []
