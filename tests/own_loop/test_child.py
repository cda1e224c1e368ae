"""The child process, with a worker that is a thread of this one."""

import os
import random
import signal
from functools import partial

import numpy as np
import pytest
import torch
from fake_worker import RECIPE
from processes import PATIENCE_SECONDS

from lrsearch.child_process.lines import ClosedError
from lrsearch.child_process.supervisor import Supervisor
from lrsearch.own_loop.channel import SOCKET, Listener
from lrsearch.own_loop.messages import (
    Boundary,
    End,
    Failed,
    Finished,
    GoOn,
    Hello,
    Hint,
    Report,
    Start,
)
from lrsearch.task.code import ENVIRONMENT_DIR

SCRIPT = """
import torch
from torch import nn

def train(run, width=2):
    model = nn.Sequential(nn.Linear(3, width), nn.Linear(width, 1))
    optimizer = run.build(model, steps_per_epoch=2)
    for epoch in run.epochs():
        for _ in range(2):
            optimizer.zero_grad()
            loss = model(torch.randn(4, 3)).square().mean()
            loss.backward()
            run.loss(loss)
            optimizer.step()
        BODY
        run.report(val_loss=loss, width=width)
"""


@pytest.fixture(scope="module")
def supervisor():
    """Forks processes that have torch and the child's own modules imported."""
    with Supervisor(warm=["torch", "torch._dynamo", "lrsearch.own_loop.child"]) as supervisor:
        yield supervisor


@pytest.fixture
def play(supervisor, tmp_path):
    """Runs a script in a child process of its own."""
    return partial(Played, supervisor, tmp_path)


class Played:
    """A script that was run in a child process, and what it said and printed."""

    def __init__(self, supervisor, folder, reference, answer=lambda m: GoOn(), **changes):
        self._terminate_at = changes.pop("terminate_at", None)
        arguments = changes.pop("arguments", ())
        fields = {"kind": "search", "recipe": RECIPE, "device": "cpu", "folder": str(folder)}
        self.said, self._answer, output = [], answer, folder / "output"
        with Listener() as listener:
            environment = {**os.environ, SOCKET: listener.path, ENVIRONMENT_DIR: str(folder)}
            self._process = supervisor.fork(
                "lrsearch.own_loop.child:main",
                [reference, *arguments],
                env=environment,
                cwd=folder,
                output=output,
            )
            self._serve(listener, Start(**{**fields, **changes}))
            self.status = self._process.wait(PATIENCE_SECONDS)
            self._process.end(5)
        self.output = output.read_text()

    def _serve(self, listener, start):
        channel = listener.accept(PATIENCE_SECONDS)
        assert isinstance(channel.receive(PATIENCE_SECONDS), Hello)
        channel.send(start)
        try:
            while True:
                message = channel.receive()
                self.said.append(message)
                if self._terminate_at is not None and isinstance(message, self._terminate_at):
                    os.kill(self._process.pid, signal.SIGTERM)
                    continue
                if isinstance(message, Report | Boundary):
                    channel.send(self._answer(message))
        except ClosedError:
            channel.close()

    def of(self, kind):
        return [message for message in self.said if isinstance(message, kind)]


def write(folder, body="pass", name="train.py"):
    (folder / name).write_text(SCRIPT.replace("BODY", body))


def test_a_function_is_run_to_its_end(play, tmp_path):
    write(tmp_path)
    child = play("train.py:train", recipe={**RECIPE, "params": {"width": 5, "other": 1}})
    assert child.status == 0, child.output
    assert [report.metrics["width"] for report in child.of(Report)] == [5.0] * 3
    assert child.of(Finished) == [
        Finished(step=6, epoch=3.0, seconds=child.of(Finished)[0].seconds, reads_loss=True)
    ]


def test_a_pruned_script_runs_its_finally_blocks_and_exit_handlers(play, tmp_path):
    body = "import atexit; atexit.register(print, 'at exit')"
    write(
        tmp_path,
        f"{body}\n        try: run.report(val_loss=1.0)\n        finally: print('finally')",
    )
    child = play("train.py:train", answer=lambda m: End(reason="pruned"))
    assert child.status == 0
    assert child.output.split("\n") == ["finally", "at exit", ""]
    assert not child.of(Finished) + child.of(Failed)


SWALLOWING = """
import os, sys, time
import torch
from torch import nn
from lrsearch import run

optimizer = run.build(nn.Linear(1, 1), steps_per_epoch=1)
for epoch in run.epochs():
    try:
        optimizer.step()
        LINE
    except:
        print("swallowed")
print("after", *sys.argv[1:], sys.argv[0])
"""


def script(folder, line="run.report(val_loss=1.0)", text=SWALLOWING):
    (folder / "script.py").write_text(text.replace("LINE", line))
    return "script.py"


def test_a_script_is_run_whole_and_a_bare_except_ends_it_one_call_later(play, tmp_path):
    child = play(script(tmp_path), answer=lambda m: End(reason="pruned"))
    assert child.status == 0, child.output
    assert child.output.split() == ["swallowed"]
    assert not child.of(Finished) + child.of(Failed)


def test_a_script_and_a_function_find_their_arguments(play, tmp_path):
    words = ("--dataset", "mnist")
    child = play(script(tmp_path), arguments=words)
    assert child.output.split() == ["after", *words, str(tmp_path / "script.py")]
    (tmp_path / "own.py").write_text(
        f"import sys\nprint(*sys.argv[1:])\n{SCRIPT.replace('BODY', '')}"
    )
    child = play("own.py:train", arguments=words)
    assert child.output.splitlines()[-1] == "--dataset mnist"


def test_a_script_that_is_not_ended_finishes(play, tmp_path):
    child = play(script(tmp_path))
    assert child.output.split() == ["after", str(tmp_path / "script.py")]
    assert [finished.step for finished in child.of(Finished)] == [3]


def exits(play, folder, line):
    text = SWALLOWING.replace("except:", "except ZeroDivisionError:")
    return play(script(folder, line, text))


@pytest.mark.parametrize(
    ("line", "status", "error"),
    [
        ("run.report(val_loss=1.0); sys.exit()", 0, None),
        ("run.report(val_loss=1.0); sys.exit(3)", 1, "the script ended with status 3"),
        ("pass", 1, "the script came to its end and never called run.report(...)"),
        ("raise MemoryError", 1, "oom"),
        ("torch.zeros(2) @ torch.zeros(3)", 1, "RuntimeError: inconsistent tensor size"),
        ("run.report(accuracy=1)", 0, "script.py:11: run.report gave accuracy, but"),
    ],
)
def test_how_a_script_ends_is_told(play, tmp_path, line, status, error):
    child = exits(play, tmp_path, line)
    assert child.status == status, child.output
    assert len(child.of(Finished)) == (error is None)
    assert [failed.error.startswith(error) for failed in child.of(Failed)] == [True] * bool(error)
    if "@" in line:
        assert child.of(Failed)[0].error.endswith(" (script.py:11)")
        assert "Traceback" in child.output


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("nowhere.py:train", "nowhere.py does not exist"),
        ("train.py:trian", "no 'trian' in it; did you mean 'train'?"),
        ("train.py:torch", "is no function; write `def torch(run):`"),
        ("no_such_module_here:train", "ModuleNotFoundError: No module named"),
    ],
)
def test_a_reference_that_names_no_function_fails(play, tmp_path, reference, error):
    write(tmp_path)
    child = play(reference)
    assert child.status == 1
    [failed] = child.of(Failed)
    assert error in failed.error
    assert "\n" not in failed.error


def test_sigterm_runs_finally_blocks_and_exit_handlers(play, tmp_path):
    line = """
        import atexit; atexit.register(print, "at exit")
        try: run.report(val_loss=1.0)
        finally: print("finally")"""
    child = play(script(tmp_path, line), terminate_at=Report)
    assert child.status == 0, child.output
    assert child.output.split("\n") == ["finally", "swallowed", "at exit", ""]
    assert not child.of(Finished) + child.of(Failed)


def test_a_process_that_the_script_forks_says_nothing(play, tmp_path):
    line = """
        if epoch == 0 and os.fork() == 0:
            try: run.report(val_loss=5.0)
            except RuntimeError as error: print(error, flush=True)
            sys.exit()
        if epoch == 0: os.wait()
        run.report(val_loss=1.0)"""
    child = exits(play, tmp_path, line)
    assert child.status == 0, child.output
    assert "run is called in a forked process" in child.output
    assert [report.metrics["val_loss"] for report in child.of(Report)] == [1.0] * 3
    assert len(child.of(Finished)) == 1


def test_a_script_whose_worker_is_gone_ends(play, tmp_path):
    def die(message):
        raise ClosedError

    child = play(script(tmp_path), answer=die)
    assert child.status == 0
    assert child.output.split() == ["swallowed"]


def test_a_script_that_seeds_nothing_has_the_seed_of_its_trial(play, tmp_path):
    draws = "random.random(), np.random.rand(), torch.rand(1).item()"
    text = f"import random, numpy as np, torch\nfrom lrsearch import run\nprint({draws})\n"
    text += "run.report(val_loss=1.0)"
    child = play(script(tmp_path, text=text))
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    expected = (random.random(), np.random.rand(), torch.rand(1).item())
    assert child.output.split() == list(map(str, expected))
    assert child.of(Hint)[0].text.startswith("script.py:4: run.report came, but")
