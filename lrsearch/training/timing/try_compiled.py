"""Whether compiled steps pay: steps are compiled once, and timed beside those that are not."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lrsearch.fusing import choice as rules
from lrsearch.fusing import compiling
from lrsearch.fusing.choice import Choice, Workload
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.engine import Engine
from lrsearch.training.solo import SoloTraining
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.timing.calibrator import Calibrator
from lrsearch.training.timing.measure import new_engine, tamed

log = logging.getLogger("lrsearch")


@dataclass(frozen=True)
class _Try:
    """A study's task, and recipes that stand for what will be trained."""

    spec: StudySpec
    cache: TaskCache
    recipes: Sequence[Recipe]

    def calibrator(self, count: int | None = None) -> Calibrator:
        """Of the first `count` recipes; all by default."""
        return Calibrator(lambda size: self._engine(size=size), self.recipes[:count], self.device)

    @property
    def device(self) -> torch.device:
        return self.cache.device

    def _engine(self, *, size: int = 1, compiles: bool = False) -> Engine:
        return new_engine(self.spec, self.cache, self.recipes[0], size, compiles=compiles)

    def compiled(self) -> list[Engine] | None:
        """An engine for each recipe; None where the steps of one of them cannot be compiled."""
        engines = []
        for recipe in self.recipes:
            engine = self._engine(compiles=True)
            training = engine.admit(recipe)
            assert isinstance(training, SoloTraining)
            if training.engine != "compiled":  # the log says why
                return None
            engines.append(engine)
        return engines


def try_compiled(
    spec: StudySpec,
    cache: TaskCache,
    recipes: Sequence[Recipe],
    found: Choice,
    workload: Workload,
) -> Choice:
    """Compiled steps where they pay, else what was `found` without them.

    `recipes` stand for what will be trained. Nothing is tried before a study that could not pay for
    it. Raises what the task's code does.
    """
    if workload.steps_left < rules.LEAST_STEPS:
        return found
    work = _Try(spec, cache, [tamed(recipe) for recipe in recipes])
    step = found.timings.get(found.size) or work.calibrator(1).solo_seconds
    engines = work.compiled() if compiling.is_worth_a_try(workload, step) else None
    if engines is None:
        return found
    with cache.recordings(recipes[0]).at_once():
        plain, compiled = work.calibrator().beside(engines)
    seconds = cache.compiled_steps(recipes[0]).seconds
    measured = compiling.Measured(plain=plain, compiled=compiled, seconds=seconds)
    pays, reason = compiling.decide(found, workload, measured)
    log.info("steps are %s: %s", "compiled" if pays else "not compiled", reason)
    return compiling.compiled(found, reason, seconds) if pays else found
