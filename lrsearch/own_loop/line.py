"""What a run says and hears: over the worker's channel, or on stderr where there is no worker."""

import os
import sys
import time
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from lrsearch.child_process.lines import ClosedError
from lrsearch.own_loop.channel import SOCKET, Channel
from lrsearch.own_loop.messages import (
    Boundary,
    Diverged,
    End,
    GoOn,
    Hello,
    Hint,
    Message,
    Report,
    Save,
    Saved,
    SaveModel,
    SaveSoon,
    Start,
    decode,
    encode,
)
from lrsearch.shown_text import visible

Answer = GoOn | Save | SaveModel | End
_T = TypeVar("_T")
#: Seconds that a rank waits for what rank 0 was told to train.
START_SECONDS = 120.0


class Line(Protocol):
    """One who is told what the run does, and answers reports and boundaries."""

    def say(self, message: Message) -> None: ...

    def ask(self, message: Report | Boundary | Saved) -> Answer: ...

    def save_wanted(self) -> bool:
        """Whether a `Boundary` was asked for since the last one."""


class WorkerLine:
    """The worker's channel. A worker that is gone has stopped the run."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._save_wanted = False
        #: What the worker said, or what its silence says, before it was asked.
        self._unasked: Answer | None = None

    @classmethod
    def connect(cls, path: str) -> "tuple[WorkerLine, Start]":
        """Raises OSError where nobody listens, ClosedError where no `Start` comes."""
        channel = Channel.connect(path)
        channel.send(Hello(pid=os.getpid()))
        start = channel.receive()
        if not isinstance(start, Start):
            raise ClosedError(f"the worker said {start!r} in place of Start")
        return cls(channel), start

    def say(self, message: Message) -> None:
        try:
            self._channel.send(message)
        except ClosedError:
            self._unasked = End(reason="stopped")

    def ask(self, message: Report | Boundary | Saved) -> Answer:
        if isinstance(message, Boundary):
            self._save_wanted = False
        self.say(message)
        while self._unasked is None:
            self._hear(None)
        answer = self._unasked
        if not isinstance(answer, End):
            self._unasked = None
        return answer

    def save_wanted(self) -> bool:
        while self._unasked is None and self._hear(0.0):
            pass
        return self._save_wanted or self._unasked is not None

    def _hear(self, timeout: float | None) -> bool:
        """Whether there was a message."""
        try:
            message = self._channel.receive(timeout)
        except ClosedError:
            message = End(reason="stopped")
        if isinstance(message, SaveSoon):
            self._save_wanted = True
        elif isinstance(message, GoOn | Save | SaveModel | End):
            self._unasked = message
        elif message is not None:
            raise ValueError(f"the worker said {message!r}, which is no answer")
        return message is not None


class PlainLine:
    """A run without a worker: reports, hints and divergence are lines on stderr."""

    def say(self, message: Message) -> None:
        if isinstance(message, Hint):
            print(visible(f"lrsearch: {message.text}"), file=sys.stderr, flush=True)
        elif isinstance(message, Diverged):
            print(visible(f"lrsearch: {message.reason}"), file=sys.stderr, flush=True)

    def ask(self, message: Report | Boundary | Saved) -> Answer:
        if isinstance(message, Report):
            print(visible(_line_of(message)), file=sys.stderr, flush=True)
        return GoOn()

    def save_wanted(self) -> bool:
        return False


def _line_of(report: Report) -> str:
    """`lrsearch: epoch 2 · step 188 · lr 0.05 · train_loss 0.41 · val_loss 0.52`."""
    parts = [f"epoch {report.epoch:.3g}", f"step {report.step}"]
    numbers = {"lr": report.lr, "train_loss": report.train_loss, **report.metrics}
    averaged = {f"{name} (average)": value for name, value in (report.metrics_ema or {}).items()}
    for name, value in {**numbers, **averaged}.items():
        if value is not None:
            parts.append(f"{name} {value:.4g}")
    return "lrsearch: " + " · ".join(parts)


class Ranks:
    """This process among those of a distributed run, as torchrun's environment says.

    Lightning starts ranks from rank 0, which so learns late that it has others, and gives them no
    RANK on one machine.
    """

    def __init__(self) -> None:
        self.local = int(os.environ.get("LOCAL_RANK", "0"))
        self.rank = int(os.environ.get("RANK", self.local))

    @property
    def count(self) -> int:
        return int(os.environ.get("WORLD_SIZE", "1"))

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def are_joined(self) -> bool:
        """Whether the ranks can talk to each other by now."""
        distributed = torch.distributed
        return self.count > 1 and distributed.is_available() and distributed.is_initialized()

    def share(self, value: _T) -> _T:
        """What rank 0 gave; all ranks call it. Its own before the process group is there."""
        if not self.are_joined:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, src=0)
        return values[0]

    def gather(self, value: _T) -> list[_T] | None:
        """The values of all ranks on rank 0, None on the others; all ranks call it."""
        if not self.are_joined:
            return [value]
        values: list[_T] | None = [value] * self.count if self.is_first else None
        torch.distributed.gather_object(value, values, dst=0)
        return values

    def connect(self) -> tuple[WorkerLine | None, Start]:
        """Rank 0's line to its worker, and what to train, which it hands on to the other ranks.

        Raises OSError and ClosedError where there is no worker.
        """
        socket = os.environ[SOCKET]
        handed = Path(f"{socket}.start")
        if not self.is_first:
            return None, _read_when_there(handed)
        line, start = WorkerLine.connect(socket)
        part = handed.with_suffix(".part")
        part.write_bytes(encode(start))
        part.replace(handed)
        return line, start


def _read_when_there(path: Path) -> Start:
    deadline = time.monotonic() + START_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise ClosedError(f"rank 0 was told nothing within {START_SECONDS:g} s")
        time.sleep(0.02)
    start = decode(path.read_bytes())
    assert isinstance(start, Start)
    return start
