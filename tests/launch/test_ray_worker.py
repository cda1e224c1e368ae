"""What an actor runs on its node, without Ray: a script stands for the worker."""

import os
import signal
import threading
from pathlib import Path

import fake_worker_program
import pytest
from fake_worker_program import begun
from processes import PATIENCE_SECONDS, until

from lrsearch.launch.ray_worker import MOST_RESTARTS, RayWorker


@pytest.fixture
def node(tmp_path, monkeypatch):
    fake_worker_program.install(tmp_path, monkeypatch)
    return tmp_path


def worker_on(node):
    """A worker there, and an event that says that it has nothing more to train."""
    ended = threading.Event()
    code = {"task.py": b"text", "part/model.py": b"model"}
    return RayWorker(["worker", "tiny"], {"A": "b"}, code, str(node), ended.set), ended


def test_a_finished_study_ends_the_actor(node):
    worker, ended = worker_on(node)
    until(lambda: begun(node))
    assert worker.place().endswith(f":{begun(node)[0]}")
    assert not ended.is_set()
    (node / "code").write_text("0")
    assert ended.wait(PATIENCE_SECONDS)
    assert len(begun(node)) == 1


def test_the_code_is_written_on_the_node(node):
    worker, _ = worker_on(node)
    until((node / "words").exists)
    until(lambda: begun(node))
    folder = Path((node / "words").read_text().split()[-2])
    assert sorted(path.name for path in folder.iterdir()) == ["part", "task.py"]
    assert (node / "words").read_text().startswith("-m lrsearch worker tiny --task-dir ")
    worker.stop()


def test_a_killed_worker_is_started_again_and_given_up_in_the_end(node):
    _, ended = worker_on(node)
    for count in range(1, MOST_RESTARTS + 2):
        until(lambda count=count: len(begun(node)) == count)
        assert not ended.is_set()
        os.kill(begun(node)[-1], signal.SIGKILL)
    assert ended.wait(PATIENCE_SECONDS)
    assert len(begun(node)) == MOST_RESTARTS + 1


def test_a_worker_with_an_error_is_not_started_again(node, capfd):
    (node / "code").write_text("1")
    _, ended = worker_on(node)
    assert ended.wait(PATIENCE_SECONDS)
    assert len(begun(node)) == 1
    assert "the worker ended with 1" in capfd.readouterr().err


def test_stop_ends_the_worker_in_order(node):
    worker, ended = worker_on(node)
    until(lambda: begun(node))
    worker.stop()
    assert ended.wait(PATIENCE_SECONDS)
    assert len(begun(node)) == 1
