"""A worker is followed by another where it left at its time limit; a script stands for each."""

import os
import signal
import subprocess
import sys
import threading

import fake_worker_program
import pytest
from fake_worker_program import begun
from processes import PATIENCE_SECONDS, until

from lrsearch.launch import local_keeper, successors
from lrsearch.launch.fleet import NO_TIME, UNFINISHED
from lrsearch.launch.successors import Successors


@pytest.fixture
def node(tmp_path, monkeypatch):
    fake_worker_program.install(tmp_path, monkeypatch)
    monkeypatch.setattr(successors, "LEAST_SECONDS", 0.0)
    return tmp_path


class Kept:
    """Workers whose `wait` runs in a thread; what it gave."""

    def __init__(self, most_killed=0):
        self.workers = Successors(
            lambda: subprocess.Popen([sys.executable]), most_killed=most_killed
        )
        self.said = []
        self._thread = threading.Thread(target=lambda: self.said.append(self.workers.wait()))
        self._thread.start()

    def end(self):
        self._thread.join(PATIENCE_SECONDS)
        (said,) = self.said
        return said


def leave(node, code):
    part = node / "code.part"
    part.write_text(str(code))
    part.replace(node / "code")  # whoever reads it meanwhile reads a whole number


def test_workers_follow_each_other_until_the_study_is_finished(node):
    kept = Kept()
    leave(node, UNFINISHED)
    until(lambda: len(begun(node)) >= 3)
    leave(node, 0)
    assert kept.end() is None
    assert begun(node)[-1] == kept.workers.pid


def test_a_limit_too_short_for_any_trial_ends_it(node, monkeypatch):
    monkeypatch.setattr(successors, "LEAST_SECONDS", 60.0)
    leave(node, UNFINISHED)
    assert Kept().end() == NO_TIME
    assert len(begun(node)) == 1


@pytest.mark.parametrize("killed", [0, 1])
def test_who_is_killed_is_followed_so_often(node, killed):
    kept = Kept(most_killed=killed)
    for count in range(1, killed + 2):
        until(lambda count=count: len(begun(node)) == count)
        os.kill(kept.workers.pid, signal.SIGKILL)
    assert kept.end() == "the worker ended with -9"
    assert len(begun(node)) == killed + 1


def test_nobody_follows_who_was_asked_to_end(node):
    kept = Kept(most_killed=3)
    until(lambda: begun(node))
    kept.workers.stop()
    assert kept.end() is None
    assert len(begun(node)) == 1


def test_the_keeper_of_this_machine_ends_with_its_worker(node, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["keeper", "worker", "tiny"])
    leave(node, 3)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit, match="lrsearch: the worker ended with 3"):
            local_keeper.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (node / "words").read_text() == "-m lrsearch worker tiny\n"
