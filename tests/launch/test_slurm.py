"""A fleet on a real Slurm of one node: Debian's daemons on loopback, submitit, the command."""

import json
from importlib.util import find_spec

import pytest
import slurm_cluster
from processes import until
from retrained import assert_same_bits
from sites import assert_exact, opened_site
from tiny_studies import TASKS, make_study

from lrsearch.report.summary import curve_rows, trial_rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("submitit") is None, reason="submitit is not installed"),
    pytest.mark.skipif(bool(slurm_cluster.missing()), reason=str(slurm_cluster.missing())),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with slurm_cluster.cluster(tmp_path_factory.mktemp("slurm")) as found:
        yield found


@pytest.fixture
def site(sqlite_url, tmp_path, slurm):
    with opened_site(sqlite_url, tmp_path) as site:
        site.slurm = slurm
        site.environment = slurm.environment
        yield site


def launch(site, *words):
    """`lrsearch launch tiny --on slurm WORDS`; its JSON."""
    command = site.command("launch", "tiny", "--on", "slurm", "--json", *words)
    return json.loads(command.succeed())


def start(site):
    words = ("--workers", 2, "--task-dir", TASKS, "--time-limit", "20m", "--fuse", "off")
    return [member["id"] for member in launch(site, *words)["started"]]


def both_train(site, jobs):
    until(lambda: set(site.slurm.states().values()) == {"RUNNING"})
    until(lambda: len(site.holders()) == 2)


def validated(search):
    return curve_rows(search, number=None, all_attempts=True)[0]


def test_a_study_completes_though_one_job_is_preempted_and_one_requeued(site):
    search = make_study(site.database)
    site.say("slow")
    preempted, requeued = jobs = start(site)
    both_train(site, jobs)
    site.slurm.run("scancel", "--signal=USR1", preempted)  # as before a time limit
    site.slurm.run("scontrol", "requeue", requeued)
    until(lambda: max(row["attempts"] for row in trial_rows(search)) > 1)
    site.say("")
    until(lambda: not site.slurm.states())
    assert_exact(search)
    for job in jobs:
        logs = sorted((site.folder / "lrsearch-launch/tiny/jobs").glob(f"{job}_0_log.*"))
        text = "".join(path.read_text() for path in logs)
        assert text.count("Loading pickle") == 2, text  # it ran twice
    assert_same_bits(search)


def test_stop_ends_what_runs_in_order_and_queues_nothing_again(site):
    search = make_study(site.database, epochs=40)
    site.say("slow")
    jobs = start(site)
    both_train(site, jobs)
    until(lambda: len({row["trial"] for row in validated(search)}) == 2)
    ended = launch(site, "--stop")["ended"]
    assert [member["id"] for member in ended] == jobs
    until(lambda: not site.slurm.states())
    assert site.holders() == []
    assert site.checkpoints()
    assert launch(site, "--stop") == {"on": "slurm", "ended": []}
