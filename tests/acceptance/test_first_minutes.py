"""What a new user types first: each command works as it is, in an empty folder."""

import os
import sys
from pathlib import Path

import pytest
from command import run_command

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def lrsearch(folder, *words):
    ended = run_command(*words, folder=folder, OMP_NUM_THREADS="1", PATH=PATH)
    assert ended.code == 0, f"{' '.join(words)}: {ended.err}"
    return ended.out + ended.err


def test_the_example_of_init_runs_as_it_is(tmp_path):
    lrsearch(tmp_path, "init")
    assert "no warnings" in lrsearch(tmp_path, "check", "study.yaml")
    output = lrsearch(tmp_path, "run", "study.yaml", "--workers", "1", "--runs", "4")
    assert " than your baseline" in output
    assert (tmp_path / f"{tmp_path.name}-report" / "best.py").exists()


@pytest.mark.slow
def test_the_command_of_init_is_checked_as_it_is(tmp_path):
    lrsearch(tmp_path, "init", "--command")
    output = lrsearch(tmp_path, "check", "study.yaml")
    assert "first report after" in output
    assert "no warnings" in output


def test_a_script_that_init_has_looked_at_is_checked_as_it_is(tmp_path):
    """The script of the example, as one that someone else has written."""
    lrsearch(tmp_path, "init", "--command", "--out", "example.yaml")
    told = lrsearch(tmp_path, "init", "train.py")
    assert "metric: val_loss from line 35" in told
    output = lrsearch(tmp_path, "check", "study.yaml")
    assert "first report after" in output
