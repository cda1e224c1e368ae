"""When a worker has to be gone, and what it needs until it can leave in order.

All times are seconds.
"""

import math
import os
import time
from collections.abc import Mapping
from typing import Literal

from lrsearch.errors import SpecError

#: What a worker trains, as far as times differ by it.
Kind = Literal["search", "confirm", "range test"]
#: To release a trial and end: a database on another continent answers in 0.2 s.
LEAVE_SECONDS = 5.0
#: A step or a checkpoint may take so many times as long the next time; a whole job less so.
FACTOR, JOB_FACTOR = 2.0, 1.2
#: When Slurm ends a job, in seconds since 1970; in a job's environment from Slurm 22.05 on.
SLURM_END = "SLURM_JOB_END_TIME"


class TimeLimit:
    """How long this process may still run; without a limit, for ever.

    It learns from `JobClock` how long the steps between two looks take, a checkpoint, and a job
    until it can be saved.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        """`seconds` from now on."""
        self._at = time.monotonic() + seconds
        self._leave = LEAVE_SECONDS
        self._between_looks = self._save = 0.0
        self._until_saved: dict[Kind, float] = {}

    @property
    def left(self) -> float:
        return self._at - time.monotonic()

    @property
    def reserve(self) -> float:
        """What is kept to save what is held, release it, and end."""
        return self._leave + FACTOR * (self._between_looks + self._save)

    @property
    def is_near(self) -> bool:
        """Whether the process has to leave now."""
        return self.left <= self.reserve

    def allows(self, kind: Kind) -> bool:
        """Whether a job of this kind, asked for now, can be saved or end before the limit."""
        return self.left > self.reserve + JOB_FACTOR * self._until_saved.get(kind, 0.0)

    def keep(self, seconds: float) -> None:
        """Keep so much more for the end: a process of the user's code is asked to end first."""
        self._leave += seconds

    def expect(self, kind: Kind, seconds: float) -> None:
        """Take it that a job cannot be saved sooner than so long after its claim."""
        self._until_saved[kind] = max(seconds, self._until_saved.get(kind, 0.0))

    def saw_steps(self, seconds: float) -> None:
        """So long it took from one look at whether to stop to the next."""
        self._between_looks = max(seconds, self._between_looks)

    def saw_save(self, seconds: float, among: int) -> None:
        """So long a checkpoint took, of one of `among` jobs that are all saved at the end."""
        self._save = max(seconds * among, self._save)


class JobClock:
    """Times one job, from its claim, for the worker's limit."""

    def __init__(self, limit: TimeLimit, kind: Kind) -> None:
        self._limit, self._kind = limit, kind
        self._begun = time.monotonic()
        #: The last look, from the second on: before, the task's code may have been loaded.
        self._looked: float | None = None
        self._looks = 0
        self._could_be_saved = False

    def look(self, *, may_save: bool) -> None:
        """Called between steps; `may_save`: whether a checkpoint could be written now."""
        now = time.monotonic()
        if self._looked is not None:
            self._limit.saw_steps(now - self._looked)
        self._looks += 1
        if self._looks > 1:
            self._looked = now
        if may_save and not self._could_be_saved:
            self._could_be_saved = True
            self._limit.expect(self._kind, now - self._begun)

    def end(self) -> None:
        """Called when it has come to its end: one that was never to be saved took as long."""
        if not self._could_be_saved:
            self._limit.expect(self._kind, time.monotonic() - self._begun)


def seconds_left(
    option: float | None, environment: Mapping[str, str] = os.environ, *, now: float | None = None
) -> float:
    """Seconds until the limit: that of `--time-limit`, or Slurm's for the job, the nearer one.

    Infinite where there is none. `now` is in seconds since 1970, by default the clock's. Raises
    SpecError where Slurm's is no number.
    """
    limits = [math.inf if option is None else option]
    if text := environment.get(SLURM_END):
        try:
            limits.append(float(text) - (time.time() if now is None else now))
        except ValueError as error:
            raise SpecError(
                f"{SLURM_END} is {text!r}, but seconds since 1970 are accepted; unset it if this "
                f"is not a job of Slurm"
            ) from error
    return min(limits)
