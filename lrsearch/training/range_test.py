"""LR ramps: a fresh model trained while lr rises a step at a time, through the trials' own loop."""

import math
import time
from collections.abc import Callable

from torch.optim.lr_scheduler import ExponentialLR

from lrsearch.range_test.analysis import RangeTest, judge, seeds_wanted
from lrsearch.range_test.plan import RampPlan
from lrsearch.range_test.reading import FACTOR, Ramp, has_ended, starts_too_high
from lrsearch.recipe.parameter_groups import recipe_lr
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.failures import failures
from lrsearch.training.solo import SoloTraining
from lrsearch.training.start import steps_per_epoch
from lrsearch.training.task_cache import TaskCache
from lrsearch.trial.validations import Plan


class RangeTraining:
    """The range test of one optimizer, in training: ramp after ramp while their readings ask."""

    def __init__(
        self, spec: StudySpec, plan: RampPlan, cache: TaskCache, stop: Callable[[], bool]
    ) -> None:
        """`stop` is asked before every step whether to end."""
        self.spec, self.plan, self.cache, self.stop = spec, plan, cache, stop
        self.ramps: list[Ramp] = []
        #: Whether the first ramp diverged at once, and others start far below it.
        self.is_lower = False
        #: Trained so far, of ramps that were not finished too.
        self.epochs = self.seconds = 0.0

    def run(self, seeds: int, *, exactly: bool = False) -> RangeTest | None:
        """Train up to `seeds` ramps, or exactly so many; None if `stop` ended it.

        Raises TrialFailedError if the task's code does.
        """
        while len(self.ramps) < (seeds if exactly else min(seeds, seeds_wanted(self.ramps))):
            ramp = self.train_ramp()
            if ramp is None:
                return None
            if not self.ramps and not self.is_lower and starts_too_high(ramp):
                self.plan, self.is_lower = self.plan.lower(len(ramp.losses)), True
                continue
            self.ramps.append(ramp)
        recipe = self.plan.recipe(self.spec, self.spec.seed)
        size = recipe.batch_size or self.cache.batch_size(recipe.params)
        return judge(self.plan.optimizer, self.ramps, size and size * recipe.accumulate)

    def train_ramp(self) -> Ramp | None:
        """The next seed's ramp, to its end or until it diverges; seeds count up from the study's.

        None if `stop` ended it. Raises TrialFailedError if the task's code does.
        """
        seed = self.spec.seed + len(self.ramps)
        started, training = time.monotonic(), None
        try:
            with failures():
                training = start_ramp(self.spec, self.plan, self.cache, seed=seed)
                return _train(training, self.stop)
        finally:
            self.epochs += 0.0 if training is None else training.epochs
            self.seconds += time.monotonic() - started


def start_ramp(spec: StudySpec, plan: RampPlan, cache: TaskCache, *, seed: int) -> SoloTraining:
    """A trial at step 0 whose lr is to rise by FACTOR each step; it is never validated."""
    recipe = plan.recipe(spec, seed)
    task, splits = cache.splits(recipe)
    steps = len(plan.lrs)
    clock = Plan(
        steps_per_epoch=steps_per_epoch(splits[0], recipe.accumulate),
        total_steps=steps,
        validations=(steps,),
        rungs={},
    )
    training = SoloTraining(task, recipe, clock, splits, cache.device)
    training.scheduler = ExponentialLR(training.optimizer, gamma=FACTOR)
    return training


def _train(training: SoloTraining, stop: Callable[[], bool]) -> Ramp | None:
    lrs: list[float] = []
    losses: list[float] = []
    total = 0.0
    while not training.done and not has_ended(losses):
        if stop():
            return None
        lrs.append(recipe_lr(training.optimizer))
        training.advance(training.step + 1)
        before, total = total, float(training.loss_sum)
        losses.append(total - before if math.isfinite(total) else math.inf)
    return Ramp(seed=training.recipe.seed, lrs=tuple(lrs), losses=tuple(losses))
