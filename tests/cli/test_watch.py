"""`lrsearch watch` in processes of its own: lines into a pipe, how it leaves, what it needs."""

import json
import signal

import pytest
from click.testing import CliRunner
from command import run_command
from processes import Command, until

from lrsearch.cli import cli


def test_a_study_is_watched_to_its_end(folder):
    created = run_command("study", "create", "tiny.yaml", folder=folder)
    assert created.code == 0, created.err
    watch = Command("watch", "tiny", "--json", "--every", "0.2", folder=folder)
    until(lambda: "watched" in watch.out)
    ended = run_command("run", "tiny.yaml", "--workers", "1", folder=folder)
    assert ended.code == 0, ended.err
    events = [json.loads(line) for line in watch.succeed().splitlines()]
    kinds = [event["kind"] for event in events]
    assert kinds[0] == "watched"
    assert kinds[-1] == "study_finished"
    assert "worker_joined" in kinds
    started = [event["trial"] for event in events if event["kind"] == "trial_started"]
    assert started == list(range(12))
    ends = [event["trial"] for event in events if event["kind"] in ENDS]
    assert sorted(ends) == list(range(12))
    assert watch.err == ""


ENDS = {"trial_complete", "trial_pruned", "trial_diverged", "trial_failed"}


def test_a_finished_study_is_told_and_left(finished):
    ended = run_command("watch", "tiny", folder=finished)
    lines = ended.out.splitlines()
    assert (ended.code, ended.err) == (0, "")
    assert lines[0].startswith("storage: ")
    assert lines[1].split(" ", 1)[1].startswith("study tiny: finished, 12 trials ended, best ")
    assert lines[2].endswith("study tiny is finished; its answer: lrsearch study show tiny")
    assert len(lines) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_watch_and_not_the_study(number, finished):
    watch = Command("watch", "tiny", "--follow", folder=finished)
    until(lambda: "is finished" in watch.out)
    watch.signal(number)
    assert watch.wait() == 130
    assert watch.err == "study tiny goes on without being watched\n"


def test_a_study_that_is_not_there_is_named_with_the_near_miss(finished):
    ended = run_command("watch", "tin", folder=finished)
    assert ended.code == 1
    assert ended.err.startswith("Error: no study 'tin' in sqlite:///lrsearch.db (default)")
    assert len(ended.err.splitlines()) == 1


def test_looks_that_follow_each_other_too_quickly_are_refused(finished, monkeypatch):
    monkeypatch.chdir(finished)
    ended = CliRunner().invoke(cli, ["watch", "tiny", "--every", "0.01"])
    assert str(ended.exception) == "--every 0.01: at least 0.2 seconds are needed"
