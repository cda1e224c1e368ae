"""`lrsearch range-test`, and what `check` and `run` say of it, as users see them."""

import json
import os
import re
import signal

import pytest
import yaml
from command import files_below, run_command, run_here
from processes import Command, until
from tiny_studies import opened

from lrsearch.report.summary import summarize
from lrsearch.storage import range_tests
from lrsearch.study.open_study import OpenStudy

TASK = """
import os
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import lrsearch

inputs = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
data = inputs, inputs[:, :3].argmax(1)


def loss(output, target):
    while Path(os.environ.get("HOLD", "nothing")).exists() and output.shape[0] == 16:
        Path("held").touch()
        time.sleep(0.01)
    return cross_entropy(output, target)


def task():
    return lrsearch.Task(
        model=lambda: nn.Linear(4, 3), train=data, validation=data, loss=loss, batch_size=16
    )


def broken():
    def no(output, target):
        if not broken_after.pop():
            raise RuntimeError("the user's own")
        return cross_entropy(output, target)

    broken_after = [False] * 9 + [True] * 9
    return lrsearch.Task(model=lambda: nn.Linear(4, 3), train=data, validation=data, loss=no)
"""

STUDY = {
    "name": "small",
    "task": "task.py:task",
    "epochs": 60,
    "budget": {"trials": 12},
    "validate_every": {"steps": 60},
    "confirm": "none",
    "ema": "none",
    "space": {"optimizers": {"adamw": {}}, "schedules": ["constant"], "warmup": 0.0},
}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "task.py").write_text(TASK)
    write_study(folder)
    return folder


def write_study(folder, **changes):
    (folder / "study.yaml").write_text(yaml.safe_dump({**STUDY, **changes}))


def succeed(*words, folder):
    ended = run_here(*words, folder=folder)
    assert ended.code == 0, ended
    return ended


# The command


def test_it_prints_a_row_for_each_optimizer_and_draws_them(folder):
    write_study(folder, space={**STUDY["space"], "optimizers": ["sgd", "adamw"]})
    before = files_below(folder)
    ended = succeed("range-test", "study.yaml", "--plot", "ramps.png", folder=folder)
    head, *rows = ended.out.splitlines()
    assert head.split("  ")[0] == "optimizer"
    assert [row.split()[0] for row in rows] == ["sgd", "adamw"]
    assert all(" to " in row for row in rows)
    # matplotlib says of its own which fonts it has not found.
    said = [line for line in ended.err.splitlines() if not line.startswith("findfont:")]
    assert said == ["range test of sgd", "range test of adamw", "wrote ramps.png"]
    assert (folder / "ramps.png").read_bytes().startswith(b"\x89PNG")
    assert files_below(folder).keys() - before.keys() == {"ramps.png"}  # no database


def test_one_optimizer_with_so_many_seeds_as_json(folder):
    words = ("range-test", "study.yaml", "--optimizer", "adamw", "--seeds", "2", "--json")
    (result,) = json.loads(succeed(*words, folder=folder).out)
    assert result["optimizer"] == {"name": "adamw"}
    assert [ramp["seed"] for ramp in result["ramps"]] == [0, 1]
    low, high = result["window"]
    assert low < result["min_over_10"]["median"] < high
    assert set(result["valley"]) == {"low", "median", "high"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--optimizer", "adam"],
            "Error: --optimizer adam is not in the space of small; did you mean 'adamw'?",
        ),
        (["--seeds", "0"], "Error: --seeds 0: at least 1 is needed"),
        (["--plot", "no/ramps.png"], "Error: --plot no/ramps.png: the folder no does not exist"),
        (["--device", "tpu"], "Error: --device tpu is no device; accepted: auto, cpu, mps, cuda:N"),
    ],
)
def test_what_cannot_be_done_is_one_line(folder, words, line):
    ended = run_command("range-test", "study.yaml", *words, folder=folder)
    assert (ended.code, ended.out, ended.err) == (1, "", line + "\n")


def test_a_format_that_there_is_not_is_told_before_anything_is_trained(folder):
    ended = run_command("range-test", "study.yaml", "--plot", "ramps.doc", folder=folder)
    (line,) = ended.err.splitlines()
    assert (ended.code, ended.out) == (1, "")
    assert line.startswith("Error: --plot ramps.doc: its ending is none of ")
    assert {"pdf", "png", "svg"} <= set(line.partition("none of ")[2].split(", "))


def test_a_task_that_fails_in_it_is_one_line(folder):
    write_study(folder, task="task.py:broken")
    ended = run_command("range-test", "study.yaml", folder=folder)
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == (
        "Error: task.py:broken: range test of adamw: RuntimeError: the user's own"
    )


# Before a study


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "10 epochs of range test"),
        ({"range_test": "none"}, "no range test (none wanted)"),
        (
            {"budget": {"trials": 2}},
            "no range test (one of 30 steps is 5 epochs, 3 % are 3.6)",
        ),
    ],
    ids=["auto", "none", "dear"],
)
def test_check_says_whether_there_will_be_one(folder, changes, words):
    write_study(folder, **changes)
    assert words in succeed("check", "study.yaml", folder=folder).out
    plan = json.loads(succeed("check", "study.yaml", "--json", folder=folder).out)
    assert (plan["epochs"]["range_test"] > 0) is words.startswith("10 epochs")


def test_a_run_tests_reports_and_charges(folder):
    out = succeed("run", "study.yaml", folder=folder).out
    assert "10 epochs of range test" in out
    assert re.search(r"Cost in epochs: range test \d+(\.\d+)? of at most 10,", out)
    shown = succeed("study", "show", "small", "-v", folder=folder).out
    assert "range test of adamw: lr " in shown
    report = folder / "small-report"
    assert (report / "range_test.svg").read_text().startswith("<svg")
    text = (report / "report.md").read_text()
    assert text.index("| range test |") < text.index("## Range test") < text.rindex("| adamw |")
    summary = json.loads(succeed("study", "show", "small", "--json", folder=folder).out)
    assert 0 < summary["epochs"]["range_test"] <= 100 / 6
    (test,) = summary["range_tests"]
    assert (test["state"], test["seeds"]) == ("complete", 1)


def test_a_killed_range_test_is_taken_over(folder, tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    environment = {"LRSEARCH_STORAGE": url, "OMP_NUM_THREADS": "1"}
    hold = tmp_path / "hold"
    hold.touch()
    Command("study", "create", "study.yaml", folder=folder, **environment).succeed()
    # The probe would be held, too.
    words = ("worker", "small", "--task-dir", folder, "--fuse", "off")
    first = Command(*words, folder=folder, HOLD=str(hold), **environment)
    until((folder / "held").exists)
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    hold.unlink()
    Command(*words, folder=folder, **environment).succeed()
    with opened(url) as database:
        search = OpenStudy.open(database, "small")
        with database.read() as connection:
            (test,) = range_tests.everything(connection, search.study_id)
        assert (test.state, test.attempt) == ("complete", 2)
        assert summarize(search)["state"] == "finished"
