"""Workers of a planned search are killed while trials wait: nothing is lost or differs."""

import signal

import pytest
from processes import until
from sites import OPTUNAS
from tiny_studies import make_study, work

from lrsearch.report.summary import curve_rows, trial_rows
from lrsearch.storage import rungs, studies, trials
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.repair import repair

PLANNED = {
    "pruning": {"rungs": [0.15, 0.4], "rule": "planned"},
    "budget": {"runs": 10},
    "confirm": "none",
    "lease": {"seconds": 2.0, "stall": 120.0},
}


def what_came_out(search):
    gone_by = ("seconds", "attempts", "attempt")
    curves, _ = curve_rows(search, number=None, all_attempts=False)
    return [
        [{k: v for k, v in row.items() if k not in gone_by} for row in rows]
        for rows in (trial_rows(search), curves)
    ]


def assert_whole(search):
    """The budget as planned, both halves alike, and no checkpoint left."""
    with search.database.read() as connection:
        row = studies.by_id(connection, search.study_id)
        counts = studies.counts(connection, search.study_id)
    assert (counts["running"], counts["waiting"]) == (0, 0)
    assert counts["complete"] + counts["diverged"] >= 6
    assert row.epochs_reserved == 0
    assert 0 <= 40 - row.epochs_used < 2.5  # less than what one more takes from the last rung on
    assert repair(search).wrong == repair(search).done == []
    theirs = search.study.get_trials(deepcopy=False)
    for trial in trial_rows(search):
        assert theirs[trial["trial"]].state == OPTUNAS[trial["state"]]


def test_a_worker_killed_while_trials_wait_leaves_what_an_undisturbed_one_does(sqlite_site):
    search = make_study(sqlite_site.database, **PLANNED)
    sqlite_site.say("slow")
    victim = sqlite_site.worker()
    until(lambda: sqlite_site.counts()["waiting"] >= 2)
    sqlite_site.say("hold")
    sqlite_site.held(1)
    assert sqlite_site.counts()["running"] == 1
    victim.signal(signal.SIGKILL)
    victim.process.join()
    sqlite_site.free_worker().succeed()
    assert_whole(search)
    assert sqlite_site.checkpoints() == []
    other = make_study(sqlite_site.database, **PLANNED, name="undisturbed")
    work(other)
    assert what_came_out(search) == what_came_out(OpenStudy.open(other.database, other.name))


def sgd(number):
    optimizer = {"name": "sgd", "lr": 0.003 * 1.2**number, "momentum": 0.9, "nesterov": False}
    return {"optimizer": optimizer, "schedule": {"name": "cosine"}}


@pytest.mark.parametrize("workers", [3, pytest.param(6, marks=pytest.mark.slow)])
def test_several_workers_of_which_one_is_killed_come_to_what_one_comes_to(postgres_site, workers):
    """With recipes that are given: what is drawn depends on who has come how far."""
    given = {"enqueue": [sgd(number) for number in range(24)]}
    search = make_study(postgres_site.database, **PLANNED, **given)
    postgres_site.say("slow")
    victim, *others = [postgres_site.worker() for _ in range(workers)]
    until(lambda: postgres_site.counts()["waiting"] >= 4)
    victim.signal(signal.SIGKILL)
    postgres_site.say("")
    for worker in others:
        worker.succeed()
    assert_whole(search)
    other = make_study(postgres_site.database, **PLANNED, **given, name="one")
    work(other)
    mine, theirs = what_came_out(search), what_came_out(other)
    assert by_recipe(mine[0]) == by_recipe(theirs[0])
    assert rungs_by_recipe(search) == rungs_by_recipe(other)


def by_recipe(rows):
    """Without numbers: several workers that begin at once get theirs in any order."""
    return {row["recipe"]["optimizer"]["lr"]: {**row, "trial": None} for row in rows}


def rungs_by_recipe(search):
    """What each recipe showed at each of its rungs."""
    with search.database.read() as connection:
        rates = {
            row.id: row.recipe["optimizer"]["lr"]
            for row in trials.everything(connection, search.study_id)
        }
        marks = rungs.of_study(connection, search.study_id)
    return {(rates[mark.trial], mark.rung): mark.signal for mark in marks}
