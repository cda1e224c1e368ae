"""The child process, with a worker that is a thread of this one."""

import os
import subprocess
import sys
import threading

from fake_worker import RECIPE

from lrsearch.own_loop.channel import SOCKET, ChannelClosedError, Listener
from lrsearch.own_loop.child import FOLDER
from lrsearch.own_loop.messages import (
    Boundary,
    End,
    Failed,
    Finished,
    GoOn,
    Hello,
    Report,
    Start,
)

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


class Child:
    """A script in a real child process, and what it said."""

    def __init__(self, folder, reference="train.py:train", answer=lambda m: GoOn(), **changes):
        fields = {"kind": "search", "recipe": RECIPE, "device": "cpu", "folder": str(folder)}
        self.said, self.answer = [], answer
        with Listener() as listener:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lrsearch.own_loop.child", reference],
                env={**os.environ, SOCKET: listener.path, FOLDER: str(folder)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            thread = threading.Thread(
                target=self._serve, args=(listener, Start(**{**fields, **changes}))
            )
            thread.start()
            self.stdout, self.stderr = self._process.communicate(timeout=60)
            thread.join()
        self.status = self._process.returncode

    def _serve(self, listener, start):
        channel = listener.accept(30)
        assert isinstance(channel.receive(30), Hello)
        channel.send(start)
        try:
            while True:
                message = channel.receive()
                self.said.append(message)
                if isinstance(message, Report | Boundary):
                    channel.send(self.answer(message))
        except ChannelClosedError:
            channel.close()

    def of(self, kind):
        return [message for message in self.said if isinstance(message, kind)]


def write(folder, body="pass", name="train.py"):
    (folder / name).write_text(SCRIPT.replace("BODY", body))


def test_a_function_is_run_to_its_end(tmp_path):
    write(tmp_path)
    child = Child(tmp_path, recipe={**RECIPE, "params": {"width": 5, "other": 1}})
    assert child.status == 0, child.stderr
    assert [report.metrics["width"] for report in child.of(Report)] == [5.0] * 3
    assert child.of(Finished) == [
        Finished(step=6, epoch=3.0, seconds=child.of(Finished)[0].seconds, reads_loss=True)
    ]


def test_a_pruned_script_runs_its_finally_blocks_and_exit_handlers(tmp_path):
    body = "import atexit; atexit.register(print, 'at exit')"
    write(
        tmp_path,
        f"{body}\n        try: run.report(val_loss=1.0)\n        finally: print('finally')",
    )
    child = Child(tmp_path, answer=lambda m: End(reason="pruned"))
    assert child.status == 0
    assert child.stdout.split("\n") == ["finally", "at exit", ""]
    assert not child.of(Finished) + child.of(Failed)


def test_an_exception_is_told_with_its_line(tmp_path):
    write(tmp_path, "torch.zeros(2) @ torch.zeros(3)")
    child = Child(tmp_path)
    assert child.status == 1
    [failed] = child.of(Failed)
    assert failed.error.startswith("RuntimeError: ")
    assert failed.error.endswith("(train.py:15)")
    assert "Traceback" in child.stderr
