"""Runs that branch off one trunk end with the bits of runs from step 0."""

import json
import shutil

import pytest
import torch
import yaml
from command import run_here
from tiny_studies import TASKS

from lrsearch.user_input import read_yaml

WSD = {
    "optimizer": {"name": "adamw", "lr": 0.03},
    "schedule": {"name": "wsd", "decay": 0.3, "shape": "linear"},
    "warmup": 0.2,
}
COSINE = {"optimizer": {"name": "adamw", "lr": 0.03}, "schedule": "cosine"}
#: Of a warm-up that is a fifth of 4 epochs of 6 steps.
WARMUP_STEPS = 5


def searched(folder, **changes):
    shutil.copy(TASKS / "tiny.py", folder)
    own = {"budget": {"trials": 2}, "confirm": None, "pruning": None, "enqueue": [WSD, COSINE]}
    study = {**read_yaml(TASKS / "tiny.yaml", "study file"), **own, **changes}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(study))
    ended = run_here("run", "tiny.yaml", folder=folder)
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = searched(tmp_path_factory.mktemp("branches"))
    whole = {**WSD, "warmup_steps": WARMUP_STEPS}
    del whole["warmup"]
    (folder / "whole.yaml").write_text(yaml.safe_dump(whole))
    (folder / "models").mkdir()
    return folder


def branch(folder, *words):
    return run_here("branch", "tiny", *words, folder=folder)


def weights(path):
    return torch.load(path, weights_only=True)


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name])


def curve(folder, name):
    ended = run_here("study", "curves", name, "--json", folder=folder)
    return [{k: v for k, v in row.items() if k != "seconds"} for row in json.loads(ended.out)]


def test_each_branch_has_the_bits_and_the_curve_of_the_whole_run(folder):
    ended = branch(folder, 0, "--at", "12,3,6", "--save", "models", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["warmup_steps"] == WARMUP_STEPS
    assert [run["horizon"] for run in found["runs"]] == [3, 6, 12]
    points = [run["branch_point"] for run in found["runs"]]
    assert points == [5 + 9, 5 + 21, 5 + 46]  # 70 % of what warm-up leaves of 18, 36, 72 steps
    assert [run["began_at_step"] for run in found["runs"]] == [0, *points[:2]]
    trained = 18 + (36 - 14) + (72 - 26)
    assert found["cost"] == {"epochs": trained / 6, "whole_epochs": 21.0}
    for epochs in (3, 6, 12):
        words = ("--recipe", "whole.yaml", "--epochs", epochs, "--save", f"whole-{epochs}.pt")
        assert run_here("train", "tiny", *words, folder=folder).code == 0
        assert_same(
            weights(folder / f"models/at-{epochs}.pt"), weights(folder / f"whole-{epochs}.pt")
        )
        ours = curve(folder, f"tiny-branch-0-at-{epochs}")
        assert ours == curve(folder, f"tiny-train-{epochs}-whole")


def test_a_run_that_is_added_goes_on_from_the_longest_before_it(folder):
    assert branch(folder, 0, "--at", "2,4", "--seed", 5).code == 0
    found = json.loads(branch(folder, 0, "--at", "2,4,8", "--seed", 5, "--json").out)
    assert [run["began_at_step"] for run in found["runs"]][2] == found["runs"][1]["branch_point"]
    words = ("--recipe", "whole.yaml", "--epochs", 8, "--seed", 5, "--json")
    whole = run_here("train", "tiny", *words, folder=folder)
    assert json.loads(whole.out)["value"] == found["runs"][2]["value"]


def test_without_the_trunks_checkpoint_a_run_is_whole(folder):
    assert branch(folder, 0, "--at", "2,4", "--seed", 6).code == 0
    ended = run_here("study", "delete", "tiny-branch-0-at-4-seed-6", "--yes", folder=folder)
    assert ended.code == 0, ended.err
    before = curve(folder, "tiny-branch-0-at-2-seed-6")
    moved = folder / "lrsearch-checkpoints"
    shutil.move(moved, folder / "away")
    try:
        ended = branch(folder, 0, "--at", "2,4", "--seed", 6, "--json")
    finally:
        shutil.copytree(folder / "away", moved, dirs_exist_ok=True)
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert [run["began_at_step"] for run in found["runs"]] == [0, 0]
    assert "left no checkpoint that is here; beginning at step 0" in ended.err
    assert before == curve(folder, "tiny-branch-0-at-2-seed-6")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((0, "--at", "8"), "--at 8: two or more different numbers of epochs from 1 are needed"),
        ((0, "--at", "8,8"), "--at 8,8: two or more different"),
        ((0, "--at", "0,8"), "--at 0,8: two or more different"),
        ((1, "--at", "4,8"), "trial 1 has schedule cosine, which depends on the run's length"),
        ((7, "--at", "4,8"), "study 'tiny' has no trial 7; its trials are 0 to 1"),
        (
            (0, "--at", "4,8", "--save", "nowhere/models"),
            "--save nowhere/models: No such file or directory; the name of a folder in one that",
        ),
        ((0, "--at", "4,8", "--seed", -1), "--seed -1: a whole number from 0 to"),
    ],
)
def test_what_shares_no_trunk_is_refused_in_one_line(folder, words, line):
    ended = branch(folder, *words)
    assert ended.code == 1
    assert f"Error: {line}" in ended.err


def test_lengths_that_are_no_numbers_are_a_usage_error(folder):
    ended = branch(folder, 0, "--at", "8;16")
    assert ended.code == 2
    assert "numbers of epochs such as 8,16,32 are accepted" in ended.err


def test_validations_at_fractions_share_no_trunk(tmp_path):
    folder = searched(tmp_path, validate_every={"fraction": 0.5})
    ended = branch(folder, 0, "--at", "4,8")
    assert ended.code == 1
    assert "validates at fractions of the run" in ended.err
