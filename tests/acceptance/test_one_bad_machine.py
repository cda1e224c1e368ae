"""A fleet with a machine that can train nothing, and a task that nobody can train: real workers."""

import json

import pytest
from processes import Command, until
from tiny_studies import TASKS

from lrsearch.report.summary import summarize, trial_rows
from lrsearch.study.open_study import OpenStudy

TRIALS = 12
STUDY = {
    "name": "mounted",
    "task": "mounted.py:task",
    "epochs": 4,
    "budget": {"trials": TRIALS},
    "range_test": "none",
    "confirm": "none",
    "pruning": "none",
    "space": {"optimizers": {"sgd": {}, "adamw": {}}, "schedules": {"constant": {}, "cosine": {}}},
}


class Fleet:
    def __init__(self, site):
        self.site = site
        (site.folder / "mounted.py").write_text((TASKS / "mounted.py").read_text())
        (site.folder / "study.yaml").write_text(json.dumps(STUDY))

    def command(self, *words, **environment):
        common = {"LRSEARCH_STORAGE": self.site.url, "OMP_NUM_THREADS": "1"}
        return Command(*words, folder=self.site.folder, **common, **environment)

    def worker(self, *options, **environment):
        return self.command("worker", "mounted", "--task-dir", ".", *options, **environment)

    def broken_worker(self, *options):
        return self.worker(*options, BROKEN_HOST="1")

    @property
    def search(self):
        return OpenStudy.open(self.site.database, "mounted")


@pytest.mark.parametrize(
    ("prepared_url", "fuse"),
    [
        ("sqlite", "4"),
        ("postgresql", "off"),
        pytest.param("sqlite", "off", marks=pytest.mark.slow),
        pytest.param("postgresql", "4", marks=pytest.mark.slow),
    ],
    indirect=["prepared_url"],
)
def test_a_broken_worker_beside_a_good_one_stops_and_uses_no_budget(site, fuse):
    fleet = Fleet(site)
    fleet.command("study", "create", "study.yaml").succeed()
    good = fleet.worker("--fuse", fuse, SLOW="0.001")
    until(lambda: trial_rows(fleet.search))
    bad = fleet.broken_worker("--fuse", fuse)
    assert bad.wait() == 1
    last = bad.err.strip().splitlines()[-1]
    assert last.startswith("Error: study 'mounted': this worker stops, its last 3 trials failed at")
    assert "(FileNotFoundError: images/" in last
    assert "mend the host" in last
    good.succeed()
    rows = trial_rows(fleet.search)
    failed = [row["reason"] for row in rows if row["state"] == "failed"]
    assert len(failed) == 3
    assert all(reason.startswith("machine: FileNotFoundError: images/") for reason in failed)
    assert [row["state"] for row in rows].count("complete") == TRIALS == len(rows) - 3
    summary = summarize(fleet.search)
    assert (summary["state"], summary["reason"]) == ("finished", "budget")
    assert summary["budget"]["trials"] == {"total": TRIALS, "used": TRIALS}


def test_a_broken_worker_that_comes_first_takes_nothing_from_later_ones(sqlite_site):
    fleet = Fleet(sqlite_site)
    fleet.command("study", "create", "study.yaml").succeed()
    used = []
    for _ in range(2):
        assert fleet.broken_worker("--fuse", "off").wait() == 1
        used.append(summarize(fleet.search)["budget"]["trials"]["used"])
    assert used == [3, 4]  # the later one tries once
    fleet.worker("--fuse", "off").succeed()
    rows = trial_rows(fleet.search)
    assert [row["state"] for row in rows] == ["failed"] * 4 + ["complete"] * TRIALS


def test_run_stops_where_no_worker_can_train_and_goes_on_once_that_is_mended(sqlite_site):
    fleet = Fleet(sqlite_site)
    run = fleet.command("run", "study.yaml", "--workers", "1", BROKEN_HOST="workers")
    assert run.wait() == 1
    last = run.err.strip().splitlines()[-1]
    assert "all 3 trials failed alike before their first validation (FileNotFoundError" in last
    assert "not the learning rate. Mend it, then run the same command again" in last
    fleet.command("run", "study.yaml", "--workers", "1").succeed()
    assert summarize(fleet.search)["budget"]["trials"] == {"total": TRIALS, "used": TRIALS}
    assert summarize(fleet.search)["counts"]["complete"] == TRIALS
