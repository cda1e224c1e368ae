"""`lrsearch transfer` as a new user calls it, and a ladder whose workers are killed."""

import json
import signal

import pytest
from command import run_here
from processes import until
from tiny_studies import STEPS_PER_EPOCH, TASKS, make_study, tiny_spec, work

from lrsearch.report.summary import trial_rows
from lrsearch.study.create_ladder import make_ladder
from lrsearch.transfer.asked import Asked, asked_study

SGD = {"optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}, "schedule": "cosine"}


def ladder_of(source, **asked):
    spec = tiny_spec(checkpoints={"every": 0.01}, lease={"seconds": 2.0, "stall": 120.0})
    recipe = spec.recipe(SGD, batch_size=None)
    return make_ladder(source, asked_study(spec, recipe, Asked(to=8, **asked), STEPS_PER_EPOCH))


def trained(study):
    """What each run came to, whoever trained it and in whatever order."""
    return {
        (row["recipe"]["epochs"], row["recipe"]["optimizer"]["lr"], row["recipe"]["seed"]): (
            row["state"],
            row["value"],
        )
        for row in trial_rows(study)
    }


def test_a_ladder_whose_worker_is_killed_comes_out_the_same_to_the_bit(sqlite_site):
    source = make_study(sqlite_site.database)
    study = ladder_of(source)
    sqlite_site.say("slow")
    words = ("worker", study.name, "--task-dir", TASKS)
    victim, other = sqlite_site.command(*words), sqlite_site.command(*words)
    until(lambda: sum(row["state"] != "running" for row in trial_rows(study)) >= 3)
    victim.signal(signal.SIGKILL)
    victim.wait()
    sqlite_site.say("")
    other.succeed()
    undisturbed = ladder_of(source, name="undisturbed")
    work(undisturbed)
    assert trained(study) == trained(undisturbed)
    assert len({horizon for horizon, _, _ in trained(study)}) == 4
    shown = sqlite_site.command("study", "show", study.name).succeed()
    assert "Best of the long runs: sgd" in shown
    assert "Lr for 8 epochs: 0." in shown
    assert "Safe learning rates" not in shown  # short and long runs are of different ones


@pytest.fixture
def searched(tmp_path):
    """A folder with the digits study, searched with three trials."""
    ended = run_here("run", "digits", "--trials", 3, "--workers", 1, folder=tmp_path)
    assert ended.code == 0, ended.err
    return tmp_path


@pytest.mark.slow  # 25 trainings on digits
def test_a_new_user_comes_from_a_study_to_the_long_run(searched):
    plan = run_here("transfer", "digits", "--to", 8, "--plan", folder=searched)
    assert "9 of 1, 5 of 2, 5 of 4, 3 of 8" in plan.out, plan.err
    told = run_here(
        *("transfer", "digits", "--to", 8, "--workers", 1, "--json"),
        *("--out", "long.yaml", "--plot", "law.svg"),
        folder=searched,
    )
    assert told.code == 0, told.err
    found = json.loads(told.out)
    low, high = found["interval"]
    assert low <= found["lr"] <= high
    assert not found["guess"]
    assert found["cost"]["total"] <= 9 * 5 + 2 * 9 + 4 * 9 + 8 * 7
    assert "90 %" in (searched / "long.yaml").read_text()
    assert "<svg" in (searched / "law.svg").read_text()
    again = run_here("transfer", "digits", "--to", 8, "--workers", 1, folder=searched)
    assert "\nlr for 8 epochs: " in again.out
    refused = run_here("transfer", "digits", "--to", 8, "--seeds", 2, folder=searched)
    assert refused.code == 1
    assert "exists with another definition" in refused.err


def test_bad_options_are_refused_before_anything_is_trained(tmp_path):
    refused = run_here("transfer", "digits", "--to", 8, "--plot", "law.gif", folder=tmp_path)
    assert refused.code == 1
    assert refused.err.strip() == (
        "Error: --plot law.gif: a file that ends in .svg or .png is accepted"
    )
