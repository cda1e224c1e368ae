"""How long a trial's step takes one by one and with several at once, on this device, now.

The engines take turns, so that what else the machine does falls on both. On a CPU the clock is the
process's own time: the wall's would count whoever shares the core.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean, median
from typing import cast

import torch

from lrsearch.fusing.choice import gains
from lrsearch.recipe.recipe import Recipe
from lrsearch.training.engine import Engine
from lrsearch.training.memory import free_bytes, used_bytes
from lrsearch.training.trial_training import TrialTraining

log = logging.getLogger("lrsearch")

#: Steps that an engine is given before any is timed: one to allocate what it needs, one in which a
#: trial alone holds its recorded step against its model.
WARM_STEPS = 2
#: A turn of an engine takes about so many seconds, and a step at least. Of a step that is not long
#: as many come before, untimed, and two at least of both: the first have to bring into the
#: processor's caches what the other engines have put out of them. Of three MLPs they took 1.2 to 4
#: times as long as those from the third to the fifth on.
TURN_SECONDS, LEAST_STEPS, LONG_SECONDS = 0.005, 2, 0.02
#: Turns of each engine beside the others; the median counts.
TURNS = 3
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

    def now(self) -> float:
        """Seconds since some moment, of this process's work on a CPU, else by the wall's clock."""
        return time.process_time() if self.device.type == "cpu" else time.monotonic()

    def time(self, work: Callable[[], None]) -> float:
        if self.device.type == "cpu":
            started = self.now()
            work()
            return self.now() - started
        start, end = (torch.Event(self.device, enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000


class Calibrator:
    """Times engines made by `make`, whose places are filled with `recipes` in turn.

    None of the recipes may have a validation soon, or diverge. Raises whatever the task's code
    does, ArithmeticError if it diverges all the same.
    """

    def __init__(self, make: MakeEngine, recipes: Sequence[Recipe], device: torch.device) -> None:
        self._make, self._recipes, self._clock = make, recipes, Clock(device=device)
        self.device = device
        with _own_random_stream(device):
            #: One by one, an engine for each recipe.
            self._solos = [self._filled([recipe]) for recipe in recipes]
            #: Bytes that a trial in a cohort is expected to take; of an accelerator, has taken.
            self.trial_bytes = estimated_bytes(self._solos[0])
            #: Seconds of a solo step: a first estimate.
            self.solo_seconds = fmean(self._warm(solo) for solo in self._solos)
        #: Spent so far, without what a first trial would have to load anyway.
        self.seconds = 2 * WARM_STEPS * self.solo_seconds * len(recipes)
        #: Whether the budget, and nothing else, kept it from larger sizes.
        self.cut_short = False

    def _filled(self, recipes: Sequence[Recipe]) -> Engine:
        engine = self._make(len(recipes))
        for recipe in recipes:
            engine.admit(recipe)
        return engine

    def _warm(self, engine: Engine) -> float:
        """Seconds of a step, once it has allocated what it needs."""
        _advance(engine, WARM_STEPS)
        return self._time(engine, WARM_STEPS)

    def _time(self, engine: Engine, steps: int) -> float:
        return self._clock.time(lambda: _advance(engine, steps)) / steps

    def _take_turn(self, engine: Engine, about: float) -> float:
        """Seconds of a step, which takes `about` so many, where others have had their turns before.

        Training goes on from there.
        """
        if about >= LONG_SECONDS:
            return self._time(engine, 1)
        steps = max(LEAST_STEPS, round(TURN_SECONDS / max(about, 1e-6)))
        _advance(engine, steps)
        return self._time(engine, steps)

    def run(self, sizes: Sequence[int], budget: float) -> dict[int, float]:
        """Seconds per trial-step by size, 1 among them.

        `sizes`, which rise, are timed until more gains nothing, or budget or memory is used.
        `budget` is in seconds of `Clock.now`.
        """
        found: dict[int, float] = {}
        cost = 0.0
        with _own_random_stream(self.device):
            for size in sizes:
                if not gains(list(found.values())):
                    break
                # The next takes about twice as long as the last.
                self.cut_short = self.seconds + 2 * cost > budget
                if self.cut_short:
                    break
                fits = most_that_fit(self.trial_bytes, self.device)
                if fits is not None and size > fits:
                    log.info("%d trials at once are not timed: too little memory", size)
                    break
                started = self._clock.now()
                gain = self._gain(size)
                cost = self._clock.now() - started
                self.seconds += cost
                if gain is None:
                    break
                found[size] = self.solo_seconds / gain
        return {1: self.solo_seconds, **found}

    def again(self, size: int) -> float:
        """Seconds per trial-step of a size that was timed, once more."""
        started = self._clock.now()
        with _own_random_stream(self.device):
            gain = self._gain(size)
        self.seconds += self._clock.now() - started
        return self.solo_seconds / (gain or 1.0)

    def beside(self, others: Sequence[Engine]) -> tuple[float, float]:
        """Seconds of a step one by one, and by other engines of one place, in turns.

        There is one for each of the recipes, with it in its place.
        """
        plain, other = [], []
        with _own_random_stream(self.device):
            for engine in (*self._solos, *others):
                self._warm(engine)
            about = self.solo_seconds
            for _ in range(TURNS):
                plain.append(fmean(self._take_turn(engine, about) for engine in self._solos))
                other.append(fmean(self._take_turn(engine, about) for engine in others))
        return median(plain), median(other)

    def _gain(self, size: int) -> float | None:
        """How much quicker a trial-step is with so many at once; None if memory ran out."""
        places = [place % len(self._recipes) for place in range(size)]
        before = used_bytes(self.device)
        together, alone = [], []
        try:
            cohort = self._filled([self._recipes[i] for i in places])
            step = self._warm(cohort)
            for _ in range(TURNS):
                solos = {i: self._take_turn(self._solos[i], self.solo_seconds) for i in set(places)}
                alone.append(fmean(solos[i] for i in places))
                together.append(self._take_turn(cohort, step) / size)
        except (torch.OutOfMemoryError, MemoryError):
            log.info("%d trials at once are not timed: out of memory", size)
            return None
        gain = median(alone) / max(median(together), 1e-9)
        self._note(size, gain, before)
        return gain

    def _note(self, size: int, gain: float, before: int | None) -> None:
        """Say what it took; larger sizes are judged by the memory that was used, if it is known."""
        now = used_bytes(self.device)
        measured = ""
        if before is not None and now is not None:
            each = max(0, now - before) / size
            measured = f", {each / 1e6:.2f} MB measured"
            if self.device.type != "cpu":  # there a process's memory says little of its trials
                self.trial_bytes = max(self.trial_bytes, round(each))
        log.info(
            "%d trials at once: %.2fx; memory per trial %.2f MB estimated%s",
            size,
            gain,
            self.trial_bytes / 1e6,
            measured,
        )


def estimated_bytes(solo: Engine) -> int:
    """Bytes that one more trial in a cohort is expected to take; trains a step of the solo engine.

    `ROWS` times its parameters, and what its step keeps for the backward pass.
    """
    (first,) = solo.trainings
    parameters = cast(TrialTraining, first).parameters
    kept = _activations(lambda: _advance(solo, 1), parameters)
    return ROWS * sum(p.nbytes for p in parameters) + kept


def most_that_fit(trial_bytes: int, device: torch.device) -> int | None:
    """Trials at once whose memory is `MEMORY_SHARE` of what is free; None where it is not known."""
    free = free_bytes(device)
    return None if free is None else int(MEMORY_SHARE * free) // max(1, trial_bytes)


def _advance(engine: Engine, steps: int) -> None:
    """So many steps of every trial: an engine stops at the end of an epoch."""
    (first, *_) = engine.trainings
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
    devices: list[int | torch.device | str] = [] if device.type == "cpu" else [device]
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
