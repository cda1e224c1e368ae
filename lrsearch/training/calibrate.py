"""How long a trial's step takes one by one and with several at once, on this device, now.

Rounds of both engines take turns, so that what else the machine does falls on both. On a CPU the
clock is the process's own time: the wall's would count whoever shares the core.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from lrsearch.recipe import Recipe
from lrsearch.training.choice import gains
from lrsearch.training.engine import Engine

log = logging.getLogger("lrsearch")

#: Steps that an engine is given to allocate what it needs, before any is timed.
WARM_STEPS = 2
#: A round takes about so many seconds, and at least two steps.
ROUND_SECONDS = 0.01
#: Rounds of each engine beside the other; the median counts.
ROUNDS = 3
#: Share of the free memory that a cohort may be expected to take.
MEMORY_SHARE = 0.8
#: Flat rows of a trial in a cohort: weights, gradients, stacked gradients, two moments.
ROWS = 5


#: An engine with so many places; 1 is the solo engine.
MakeEngine = Callable[[int], Engine]


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Seconds of the device's work; on a CPU of this process."""

    device: torch.device

    def time(self, work: Callable[[], None]) -> float:
        if self.device.type == "cpu":
            started = time.process_time()
            work()
            return time.process_time() - started
        start, end = (torch.Event(self.device, enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000


class Calibrator:
    """Times engines made by `make`, whose places are filled with `recipes` in turn.

    None of the recipes may have a validation soon, or diverge. Raises whatever the task's code
    does.
    """

    def __init__(self, make: MakeEngine, recipes: Sequence[Recipe], device: torch.device) -> None:
        self._make, self._recipes, self._clock = make, recipes, Clock(device=device)
        self.device = device
        started = time.monotonic()
        with _own_random_stream(device):
            self._solo = self._filled(1)
            (slot,) = self._solo.slots
            #: Bytes that a trial in a cohort is expected to take.
            self.trial_bytes = ROWS * sum(p.nbytes for p in slot.parameters)
            self.trial_bytes += _activations(lambda: _advance(self._solo, 1), slot.parameters)
            #: Seconds of a solo step: a first estimate.
            self.solo_seconds = self._warm(self._solo)
        self._solo_times: list[float] = [self.solo_seconds]
        #: By the wall's clock, spent so far.
        self.seconds = time.monotonic() - started

    def _filled(self, size: int) -> Engine:
        engine = self._make(size)
        for place in range(size):
            engine.admit(self._recipes[place % len(self._recipes)])
        return engine

    def _warm(self, engine: Engine) -> float:
        """Seconds of a step, once it has allocated what it needs."""
        _advance(engine, WARM_STEPS)
        return self._clock.time(lambda: _advance(engine, WARM_STEPS)) / WARM_STEPS

    def run(self, sizes: Sequence[int], budget: float) -> dict[int, float]:
        """Seconds per trial-step by size, 1 among them.

        `sizes`, which rise, are timed until more gains nothing, or the budget or memory is used.
        `budget` is in seconds by the wall's clock; what was spent before counts.
        """
        found: dict[int, float] = {}
        free, cost = free_bytes(self.device), 0.0
        with _own_random_stream(self.device):
            for size in sizes:
                # The next takes about twice as long as the last.
                if self.seconds + 2 * cost > budget or not gains(list(found.values())):
                    break
                if free is not None and size * self.trial_bytes > MEMORY_SHARE * free:
                    log.info("%d trials at once are not timed: too little memory", size)
                    break
                started = time.monotonic()
                gain = self._gain(size)
                cost = time.monotonic() - started
                self.seconds += cost
                if gain is None:
                    break
                found[size] = 1 / gain
        solo = median(self._solo_times)
        return {1: solo, **{size: solo * share for size, share in found.items()}}

    def _gain(self, size: int) -> float | None:
        """How much quicker a trial-step is with so many at once; None if memory ran out."""
        before = used_bytes(self.device)
        try:
            cohort = self._filled(size)
            step = self._warm(cohort)
            mine, theirs = _steps(step), _steps(self.solo_seconds)
            together, alone = [], []
            for _ in range(ROUNDS):
                alone.append(self._clock.time(lambda: _advance(self._solo, theirs)) / theirs)
                together.append(self._clock.time(lambda: _advance(cohort, mine)) / mine / size)
        except (torch.OutOfMemoryError, MemoryError):
            log.info("%d trials at once are not timed: out of memory", size)
            return None
        self._solo_times += alone
        gain = median(alone) / max(median(together), 1e-9)
        self._log(size, gain, before)
        return gain

    def _log(self, size: int, gain: float, before: int | None) -> None:
        now = used_bytes(self.device)
        measured = ""
        if before is not None and now is not None:
            measured = f", {(now - before) / size / 1e6:.2f} MB measured"
        log.info(
            "%d trials at once: %.2fx; memory per trial %.2f MB estimated%s",
            size,
            gain,
            self.trial_bytes / 1e6,
            measured,
        )


def _steps(seconds: float) -> int:
    return max(2, round(ROUND_SECONDS / max(seconds, 1e-6)))


def _advance(engine: Engine, steps: int) -> None:
    """So many steps of every trial: an engine stops at the end of an epoch."""
    (first, *_) = engine.slots
    goal, stalled = first.step + steps, 0
    while first.step < goal and stalled < 2:
        before = first.step
        engine.advance(goal - before)
        stalled = stalled + 1 if first.step == before else 0
    if first.step < goal:
        raise ArithmeticError(f"training stopped at step {first.step}")


@contextmanager
def _own_random_stream(device: torch.device) -> Iterator[None]:
    """Leaves torch's random state as it was."""
    devices: list[Any] = [] if device.type == "cpu" else [device]
    kind = "cuda" if device.type == "cpu" else device.type
    with torch.random.fork_rng(devices=devices, device_type=kind):
        yield


def _activations(work: Callable[[], None], parameters: Sequence[torch.Tensor]) -> int:
    """Bytes that `work` keeps for its backward pass, beside the parameters."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        work()
    own = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    return sum(size for place, size in kept.items() if place not in own)


def used_bytes(device: torch.device) -> int | None:
    """Memory in use: of the device, else of this process; None where nobody tells."""
    if device.type != "cpu":
        return int(torch.accelerator.memory_allocated(device))
    return _kibibytes("/proc/self/status", "VmRSS")


def free_bytes(device: torch.device) -> int | None:
    """Memory that is left, on the device or in this machine; None where nobody tells."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return _kibibytes("/proc/meminfo", "MemAvailable") if device.type == "cpu" else None


def _kibibytes(file: str, name: str) -> int | None:
    """Bytes that a line `NAME: n kB` of a file of Linux says."""
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) for line in lines if line.startswith(f"{name}:")]
    return 1024 * found[0] if found else None
