"""Recipes through lrsearch's engines as a worker trains them, but without a database."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from plain_loops import recipes

from lrsearch.recipe import Recipe
from lrsearch.spec import StudySpec
from lrsearch.spec_parts import ValidateEvery
from lrsearch.training import choice as rules
from lrsearch.training.calibrate import Calibrator
from lrsearch.training.choice import Choice
from lrsearch.training.cohort import Cohort
from lrsearch.training.engine import Engine, SoloEngine
from lrsearch.training.probe import probe
from lrsearch.training.setup import TaskCache
from lrsearch.training.slot import Slot

#: Steps between a worker's looks at its trials.
STEPS = 16
#: What a calibration times has so many steps before it and so small a learning rate: no validation
#: comes in between, and nothing diverges.
LONG_STEPS, TAME_LR = 1_000_000, 1e-8
#: Recipes that it times.
TIMED = 8


def engine_of(spec: StudySpec, cache: TaskCache, recipe: Recipe, size: int) -> Engine:
    """With so many places; 1 is the solo engine."""
    return SoloEngine(spec, cache) if size == 1 else Cohort(spec, cache, recipe, size)


def train_all(make_engine: Callable[[], Engine], recipes: Sequence[Recipe]) -> list[float]:
    """Train every recipe to its end; places are filled again as trials end. Their last losses.

    NaN for one that diverged.
    """
    losses = [math.nan] * len(recipes)
    waiting = deque(enumerate(recipes))
    while waiting:
        engine, numbers = make_engine(), {}
        while waiting or engine.slots:
            while waiting and engine.may_join() and engine.takes(waiting[0][1]):
                number, recipe = waiting.popleft()
                numbers[id(engine.admit(recipe))] = number
            if not waiting:
                engine.shrink()
            engine.advance(STEPS)
            due = engine.due()
            rows = engine.validate(due, with_ema=_is_judged) if due else []
            for slot, row in zip(due, rows, strict=True):
                losses[numbers[id(slot)]] = row.val_loss
            for slot in [slot for slot in engine.slots if slot.done]:
                number = numbers.pop(id(slot))
                if slot.diverged is not None:
                    losses[number] = math.nan
                engine.drop(slot)
            if not engine.slots:
                break  # a worker begins with a new engine then
    return losses


def _is_judged(slot: Slot) -> bool:
    """Whether the worker validates the averaged weights as well: at rungs and at the end."""
    number = slot.validated + 1
    return number in slot.plan.rungs or number == len(slot.plan.validations)


@dataclass(frozen=True, kw_only=True)
class Auto:
    """What a worker would choose, and what it expects a fused trial to take."""

    choice: Choice
    trial_bytes: int | None


def choose(spec: StudySpec, cache: TaskCache, most: int) -> Auto:
    """As a worker chooses that may train `most` trials at once, however short the study."""
    every = ValidateEvery(fraction=1.0)
    long = {"epochs": None, "steps": LONG_STEPS, "validate_every": every, "pruning": None}
    timed_spec = spec.model_copy(update=long)
    timed = [_tame(recipe) for recipe in recipes(timed_spec, TIMED)]
    started = time.monotonic()
    task, splits = cache.splits(timed[0])
    found = probe(task, timed[0], splits, cache.device)
    probe_seconds = time.monotonic() - started
    if not found.fits:
        reason = found.reason or "the probe did not agree"
        choice = Choice(
            engine="solo", size=1, reason=reason, fits=False, probe_seconds=probe_seconds
        )
        return Auto(choice=choice, trial_bytes=None)
    calibrator = Calibrator(
        lambda size: engine_of(timed_spec, cache, timed[0], size), timed, cache.device
    )
    timings = calibrator.run(rules.sizes_to_try(most), rules.MOST_SECONDS)
    engine, size, reason = rules.decide(timings, most)
    choice = Choice(
        engine=engine,
        size=size,
        reason=reason,
        fits=True,
        timings=timings,
        probe_seconds=probe_seconds,
        calibration_seconds=calibrator.seconds,
    )
    return Auto(choice=choice, trial_bytes=calibrator.trial_bytes)


def _tame(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"optimizer": {**recipe.optimizer, "lr": TAME_LR}})
