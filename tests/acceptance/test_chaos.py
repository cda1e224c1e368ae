"""Fleets that are hurt at random, and fleets that are all but wiped out: the study comes out as if
nothing had happened. What is checked stands in benchmarks/chaos_checks.py."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import PATIENCE_SECONDS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import chaos  # noqa: E402 - benchmarks are scripts, not a package
import chaos_fleet  # noqa: E402
from chaos_site import opened_site  # noqa: E402

LOST_IN_OUTAGE = "this worker's lease will run out"
TRIALS = 12


def broken(checks):
    return [line for check in checks for line in check["broken"]]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("storage", "workers", "faults", "trials"),
    [("sqlite", 4, 20, 24), ("postgresql", 4, 20, 24), ("postgresql", 6, 60, 60)],
)
def test_a_study_survives_a_storm_exactly(storage, workers, faults, trials, tmp_path):
    options = {"storage": storage, "workers": workers, "faults": faults, "trials": trials}
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    command = [sys.executable, str(BENCHMARKS / "chaos.py"), "--json", "--seed", "1", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout, done.stderr
    result = json.loads(done.stdout)
    assert broken(result["checks"]) == [], done.stderr
    assert done.returncode == 0
    assert sum(result["faults"].values()) == faults
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request):
    with opened_site(request.param) as site:
        site.create(TRIALS, seed=1)
        yield site


def finish(site):
    """Wait for the fleet, without any more faults; every check must hold."""
    total = TRIALS + TRIALS // 4
    calm = chaos.Storm(site, [], random.Random(0), total)
    in_time = chaos.run(site, calm)
    checks = chaos.checks_of(site, calm, trials=TRIALS, in_time=in_time)
    assert [line for check in checks for line in check.broken] == []


def until_ended(site, count):
    while (site.ended() or 0) < count:
        time.sleep(0.1)


@pytest.mark.parametrize("site", ["postgresql"], indirect=True)
def test_a_worker_asked_to_leave_in_an_outage_leaves_in_order(site):
    site.start(2, random.Random(0))
    site.fleet.supervised = False
    until_ended(site, 1)
    site.proxy.refuse()
    time.sleep(1)
    for worker, number in zip(site.fleet.everyone, chaos_fleet.LEAVE, strict=True):
        worker.send(number)
    for worker in site.fleet.everyone:
        worker.process.join(PATIENCE_SECONDS)
        assert worker.process.exitcode == 0, worker.words
        assert LOST_IN_OUTAGE in worker.words
        assert chaos_fleet.complaints(worker) == []


@pytest.mark.slow
def test_the_last_worker_finishes_what_all_others_had(site):
    site.start(4, random.Random(0))
    site.fleet.supervised = False
    until_ended(site, 3)
    for worker in site.fleet.everyone[1:]:
        worker.send(signal.SIGKILL)
    finish(site)
    assert len(site.fleet.everyone) == 4


@pytest.mark.slow
def test_a_fleet_that_was_wiped_out_is_replaced_later(site):
    site.start(4, random.Random(0))
    site.fleet.supervised = False
    until_ended(site, 3)
    for worker in site.fleet.everyone:
        worker.send(signal.SIGKILL)
    time.sleep(2 * site.lease)
    site.fleet.fill()
    finish(site)
    assert len(site.fleet.everyone) == 8
