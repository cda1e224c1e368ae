"""From a task to a choice: is fusing worth a look, can the model be fused, and is it quicker?"""

import logging
from collections.abc import Mapping, Sequence

from lrsearch.fusing import choice as rules
from lrsearch.fusing.choice import Choice, Workload
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.parts import ValidateEvery
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.engine import Engine, SoloEngine
from lrsearch.training.graphed.choose import make_cohort
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.timing.calibrator import Calibrator, Clock
from lrsearch.training.timing.probe import probe

log = logging.getLogger("lrsearch")

#: What is timed has so many steps before it and so small a learning rate: no validation comes in
#: between, and nothing diverges.
LONG_STEPS, TAME_LR = 1_000_000, 1e-8


def measure(
    spec: StudySpec, cache: TaskCache, recipes: Sequence[Recipe], workload: Workload
) -> Choice:
    """The engine for so much training; `recipes` stand for what will be trained.

    Little is tried before a study that could not pay for it. Raises what the task's code does.
    """
    if workload.most_at_once(0.0) < 2:
        return Choice.solo(rules.TOO_FEW)
    if workload.steps_left < rules.LEAST_STEPS:
        return Choice.solo(f"{workload.steps_left:.0f} steps are too few to try")
    tame = [tamed(recipe) for recipe in recipes]
    calibrator = Calibrator(lambda size: new_engine(spec, cache, tame[0], size), tame, cache.device)
    step = calibrator.solo_seconds
    most, seconds = workload.most_at_once(step), workload.training_seconds(step)
    budget = rules.calibration_budget(seconds)
    if most < 2 or budget is None:
        return Choice.solo(f"{seconds:.2g} s of training are too few to try")
    reason, probe_seconds = obstacle(cache, recipes[0])
    if reason is not None:
        return Choice.solo(reason, fits=False, probe_seconds=probe_seconds)
    with cache.recordings(tame[0]).at_once():
        timings = calibrator.run(rules.sizes_to_try(most), budget)
        timings = looked_at_again(calibrator, timings, most)
    engine, size, reason = rules.decide(timings, most)
    return Choice(
        engine=engine,
        size=size,
        reason=reason,
        fits=True,
        most=max(timings) if calibrator.cut_short else most,
        timings=timings,
        probe_seconds=probe_seconds,
        calibration_seconds=calibrator.seconds,
    )


def looked_at_again(
    calibrator: Calibrator, timings: Mapping[int, float], most: int
) -> dict[int, float]:
    """The timings, those of close calls from the slower of two looks."""
    found, seen = dict(timings), set[int]()
    while (size := rules.best_size(found, most)) not in seen and rules.is_close(found, size):
        found[size] = max(found[size], calibrator.again(size))
        seen.add(size)
    return found


def obstacle(cache: TaskCache, recipe: Recipe) -> tuple[str | None, float]:
    """Why the task cannot be fused, if so, and the seconds that it took to find out."""
    clock = Clock(device=cache.device)
    started = clock.now()
    task, splits = cache.splits(recipe)
    found = probe(task, recipe, splits, cache.device)
    if found.slow_ops:
        log.info("vmap has no batching rule for %s", ", ".join(found.slow_ops))
    reason = None if found.fits else found.reason or "the probe found no reason"
    return reason, clock.now() - started


def tamed(recipe: Recipe) -> Recipe:
    """It with a length and a learning rate at which it can be timed."""
    length = {"epochs": None, "steps": LONG_STEPS}
    return recipe.model_copy(update={**length, "optimizer": {**recipe.optimizer, "lr": TAME_LR}})


def new_engine(
    spec: StudySpec, cache: TaskCache, recipe: Recipe, size: int, *, compiles: bool = False
) -> Engine:
    """A new one, which validates at the end alone."""
    every = {"validate_every": ValidateEvery(fraction=1.0), "pruning": None}
    spec = spec.model_copy(update=every)
    if size == 1:
        return SoloEngine(spec, cache, compiles=compiles)
    return make_cohort(spec, cache, recipe, size)
