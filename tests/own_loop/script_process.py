"""A script in a real child process, with a worker that is a function of the test."""

import os
import signal
import subprocess
import sys

from fake_worker import RECIPE
from processes import PATIENCE_SECONDS

from lrsearch.child_process.lines import ClosedError
from lrsearch.own_loop.channel import SOCKET, Listener
from lrsearch.own_loop.messages import (
    Boundary,
    Diverged,
    Failed,
    Finished,
    GoOn,
    Hello,
    Hint,
    Report,
    Save,
    Saved,
    SaveSoon,
    Start,
)
from lrsearch.own_loop.proof import Outcome
from lrsearch.task.code import ENVIRONMENT_DIR


def run_script(folder, *, save=None, resume=None, soon_after=None, epochs=2):
    """Everything that `train.py` in this folder says.

    With `save` its state is taken at the first boundary; it is killed at once. `soon_after`: a
    boundary is asked for after so many messages.
    """
    said = []
    recipe = {**RECIPE, "optimizer": {"name": "adam", "lr": 0.01}, "epochs": epochs}
    with Listener() as listener:
        process = subprocess.Popen(
            [sys.executable, "-m", "lrsearch.own_loop.child", "train.py:train"],
            env={**os.environ, SOCKET: listener.path, ENVIRONMENT_DIR: str(folder)},
            cwd=folder,
        )
        try:
            channel = listener.accept(PATIENCE_SECONDS)
            assert isinstance(channel.receive(PATIENCE_SECONDS), Hello)
            path = None if resume is None else str(resume)
            channel.send(Start(kind="check", recipe=recipe, device="cpu", folder=str(folder),
                               resume=path))  # fmt: skip
            while True:
                message = channel.receive(PATIENCE_SECONDS)
                assert message is not None, "the script hangs"
                said.append(message)
                if len(said) == soon_after:
                    channel.send(SaveSoon())
                if isinstance(message, Saved):
                    process.send_signal(signal.SIGKILL)
                elif isinstance(message, Boundary) and save is not None:
                    channel.send(Save(path=str(save)))
                elif isinstance(message, Boundary | Report):
                    channel.send(GoOn())
                assert not isinstance(message, Failed | Diverged), message
        except ClosedError:
            killed = isinstance(said[-1], Saved)
            assert process.wait(60) == (-signal.SIGKILL if killed else 0)
        finally:
            process.kill()
            process.wait()
    return said


def outcome(said):
    """What `prove` compares."""
    of = {kind: [m for m in said if isinstance(m, kind)] for kind in (Report, Hint, Finished)}
    return Outcome(
        reports=[report.metrics for report in of[Report]],
        digests=of[Finished][0].digests if of[Finished] else {},
        hints=[hint.text for hint in of[Hint]],
    )
