"""Recipes through lrsearch's engines as a worker trains them, but without a database."""

import math
from collections import deque
from collections.abc import Callable, Sequence

from plain_loops import recipes

from lrsearch import Recipe, StudySpec
from lrsearch.fusing import choice as rules
from lrsearch.fusing.choice import Choice, Workload
from lrsearch.spec.parts import ValidateEvery
from lrsearch.training.engine import Engine, SoloEngine
from lrsearch.training.fused.cohort import Cohort
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.timing.calibrator import Calibrator
from lrsearch.training.timing.measure import measure
from lrsearch.training.trial_training import TrialTraining

#: Steps between a worker's looks at its trials.
STEPS = 16
#: Recipes that a calibration times.
TIMED = 8
#: Enough that no validation comes between.
LONG_STEPS = 1_000_000


def engine_of(spec: StudySpec, cache: TaskCache, recipe: Recipe, size: int) -> Engine:
    """With so many places; 1 is the solo engine."""
    return SoloEngine(spec, cache) if size == 1 else Cohort(spec, cache, recipe, size)


def train_all(
    make_engine: Callable[[], Engine], trials: Sequence[Recipe], *, steps: int = STEPS
) -> list[float]:
    """Train every recipe to its end; places are filled again as trials end. Their last losses.

    `steps` between looks at the trials. NaN for one that diverged.
    """
    losses = [math.nan] * len(trials)
    waiting = deque(enumerate(trials))
    while waiting:
        engine, numbers = make_engine(), {}
        while waiting or engine.trainings:
            while waiting and engine.may_join() and engine.takes(waiting[0][1]):
                number, recipe = waiting.popleft()
                numbers[id(engine.admit(recipe))] = number
            if not waiting:
                engine.shrink()
            engine.advance(steps)
            due = engine.due()
            rows = engine.validate(due, with_ema=is_judged) if due else []
            for training, row in zip(due, rows, strict=True):
                losses[numbers[id(training)]] = row.val_loss
            for training in [training for training in engine.trainings if training.done]:
                number = numbers.pop(id(training))
                if training.diverged is not None:
                    losses[number] = math.nan
                engine.drop(training)
            if not engine.trainings:
                break  # a worker begins with a new engine then
    return losses


def is_judged(training: TrialTraining) -> bool:
    """Whether the worker validates the averaged weights as well: at rungs and at the end."""
    number = training.validated + 1
    return number in training.plan.rungs or number == len(training.plan.validations)


def choose(spec: StudySpec, cache: TaskCache, trials: Sequence[Recipe], steps: int) -> Choice:
    """What a worker chooses that may train all of these at once, in a study that has no end.

    `steps` are those of a trial.
    """
    workload = Workload(trial_steps=steps, trials=len(trials) / rules.LARGEST_SHARE)
    return measure(spec, cache, trials[:TIMED], workload)


def trial_bytes(spec: StudySpec, cache: TaskCache) -> int:
    """What a worker expects a trial in a cohort to take."""
    every = ValidateEvery(fraction=1.0)
    long = {"epochs": None, "steps": LONG_STEPS, "validate_every": every, "pruning": None}
    spec = spec.model_copy(update=long)
    solo = Calibrator(lambda size: SoloEngine(spec, cache), recipes(spec, 1), cache.device)
    return solo.trial_bytes
