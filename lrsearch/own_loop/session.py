"""A run's tie to its worker: what is to be trained, and whether it is over."""

import os
import sys
from typing import NoReturn

import torch

from lrsearch.own_loop.ended import Ended
from lrsearch.own_loop.line import Answer, Line, Ranks
from lrsearch.own_loop.messages import (
    Boundary,
    End,
    Failed,
    GoOn,
    Hint,
    Message,
    Report,
    Saved,
    Start,
)
from lrsearch.recipe.recipe import Recipe
from lrsearch.shown_text import visible


class Session:
    """What this process trains and for whom. Once it is closed, `check` raises at every call."""

    def __init__(
        self,
        start: Start,
        recipe: Recipe | None,
        line: Line | None,
        ranks: Ranks,
        *,
        alone: bool = False,
    ) -> None:
        """`recipe` is None where a script is run alone and has none; `line` on ranks but 0."""
        self.start, self.recipe, self.line, self.ranks = start, recipe, line, ranks
        #: Whether no worker is there: a plain run of a recipe.
        self.alone = alone
        self.device = _device(start.device, ranks)
        #: Why the run is over; None before that.
        self.reason: str | None = None
        self._pid = os.getpid()
        self._hints: set[str] = set()

    @property
    def seed(self) -> int:
        return 0 if self.recipe is None else self.recipe.seed

    @property
    def is_here(self) -> bool:
        """Whether this is the process that was started, and none that it has forked."""
        return os.getpid() == self._pid

    def check(self) -> None:
        """Raises Ended once the run is over, RuntimeError in a process that the script forked."""
        if not self.is_here:
            raise RuntimeError("run is called in a forked process; call it where the run began")
        if self.reason is not None:
            raise Ended(self.reason)

    def say(self, message: Message) -> None:
        if self.line is not None:
            self.line.say(message)

    def hint(self, key: str, text: str) -> None:
        """Say once what of the script spoils its trials."""
        if key not in self._hints:
            self._hints.add(key)
            self.say(Hint(text=text))

    def ask(self, message: Report | Boundary | Saved) -> Answer:
        """The worker's answer, the same on all ranks. An `End` closes the run: raises Ended."""
        answer: Answer = GoOn() if self.line is None else self.line.ask(message)
        answer = self.ranks.share(answer)
        if isinstance(answer, End):
            self.close(answer.reason)
        return answer

    def close(self, reason: str) -> NoReturn:
        """The run is over, whatever the script does from here on."""
        self.reason = reason
        raise Ended(reason)

    def fail(self, error: str, *, step: int, seconds: float) -> NoReturn:
        """The run has failed for a reason that the script cannot swallow."""
        print(visible(f"lrsearch: {error}"), file=sys.stderr, flush=True)
        self.say(Failed(error=error, step=step, seconds=seconds))
        self.close("failed")


def _device(name: str, ranks: Ranks) -> torch.device:
    """Of several ranks each has the accelerator of its number on this machine."""
    device = torch.device(name)
    if ranks.count > 1 and device.type != "cpu":
        return torch.device(device.type, ranks.local)
    return device
