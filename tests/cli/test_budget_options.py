"""`run --runs N` and `run --trials N` say the budget in place of the file's."""

import json

import pytest
from command import run_command, run_here


def run_tiny(folder, *options):
    ended = run_here("run", "tiny.yaml", "--json", *options, folder=folder)
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_trials_replace_the_files(folder):
    document = run_tiny(folder, "--trials", "4")
    assert document["budget"]["trials"] == {"total": 4, "used": 4}
    assert sum(document["counts"].values()) == 4


def test_more_trials_go_on(folder):
    run_tiny(folder, "--trials", "2")
    assert run_tiny(folder, "--trials", "3")["budget"]["trials"] == {"total": 3, "used": 3}


def test_runs_limit_the_epochs_beside_the_files_trials(folder):
    budget = run_tiny(folder, "--runs", "3")["budget"]
    assert budget["runs"]["total"] == 3
    assert budget["runs"]["used"] <= 3
    assert budget["epochs"]["total"] == 3 * 4
    assert budget["trials"]["total"] == 12
    assert budget["trials"]["used"] < 12


def test_both_hold_together(folder):
    budget = run_tiny(folder, "--runs", "9", "--trials", "2")["budget"]
    assert budget["trials"] == {"total": 2, "used": 2}
    assert budget["runs"]["total"] == 9


@pytest.mark.parametrize("option", ["--runs", "--trials"])
@pytest.mark.parametrize("number", ["0", "-2"])
def test_a_number_below_one_is_refused_in_one_line(option, number, folder):
    ended = run_command("run", "tiny.yaml", option, number, folder=folder)
    assert ended.code == 1
    assert ended.err == f"Error: {option} {number}: at least 1 is needed\n"
