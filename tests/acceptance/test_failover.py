"""A database fails over to a replica that lacks its last commits: what workers trained is whole."""

import json
import sys

import pytest
from failover import replicated
from processes import until
from sites import assert_exact, opened_site
from tiny_studies import make_study, opened, tiny_task, work

from lrsearch.storage.location import READ_VARIABLE
from lrsearch.study.prepare_database import prepare
from lrsearch.study.repair import repair

sys.path.insert(0, "benchmarks")

import chaos_checks

ROWS_OF_RUNNING = """
SELECT count(*) FROM lrsearch.lr_curve JOIN lrsearch.lr_trial ON id = trial WHERE state = 'running'
"""
ENDED = "SELECT trials_ended FROM lrsearch.lr_study"
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
    search = make_study(site.database, lease=LEASE, **({"pruning": pruning} if pruning else {}))
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
