"""LR ramps of a training script: its lr rises a step at a time, and it says its losses."""

import time
from collections.abc import Callable

from lrsearch.child_process.folders import trial_folder
from lrsearch.own_loop.messages import (
    Boundary,
    Built,
    Failed,
    Finished,
    GoOn,
    Readings,
    Report,
)
from lrsearch.range_test.analysis import RangeTest, judge, seeds_wanted
from lrsearch.range_test.plan import RampPlan
from lrsearch.range_test.reading import Ramp, starts_too_high
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.failures import TrialFailedError
from lrsearch.worker.scripts.process import ScriptProcess
from lrsearch.worker.scripts.surroundings import Surroundings

LOOK_SECONDS = 0.25


class ScriptRangeTraining:
    """The range test of one optimizer: ramp after ramp while their readings ask."""

    def __init__(
        self,
        spec: StudySpec,
        plan: RampPlan,
        surroundings: Surroundings,
        stop: Callable[[], bool],
    ) -> None:
        self.spec, self.plan, self.surroundings, self.stop = spec, plan, surroundings, stop
        self.ramps: list[Ramp] = []
        #: Whether the first ramp diverged at once, and others start far below it.
        self.is_lower = False
        self.epochs = self.seconds = 0.0

    def run(self, seeds: int, *, exactly: bool = False) -> RangeTest | None:
        """Train up to `seeds` ramps, or exactly so many; None if `stop` ended it.

        Raises TrialFailedError.
        """
        while len(self.ramps) < (seeds if exactly else min(seeds, seeds_wanted(self.ramps))):
            started = time.monotonic()
            try:
                ramp = self._ramp(self.spec.seed + len(self.ramps))
            finally:
                self.seconds += time.monotonic() - started
            if ramp is None:
                return None
            if not self.ramps and not self.is_lower and starts_too_high(ramp):
                self.plan, self.is_lower = self.plan.lower(len(ramp.losses)), True
                continue
            self.ramps.append(ramp)
        return judge(self.plan.optimizer, self.ramps, None)

    def _ramp(self, seed: int) -> Ramp | None:
        folder = trial_folder(self.spec.name, f"range-test-{self.plan.name}-seed-{seed}")
        process = self.surroundings.start(
            "range_test",
            self.plan.recipe(self.spec, seed),
            self.spec.objective,
            folder,
            folder / "output.log",
            lrs=self.plan.lrs,
        )
        try:
            return self._follow(process, seed)
        finally:
            process.end("stopped")

    def _follow(self, process: ScriptProcess, seed: int) -> Ramp | None:
        """What it says until its end; None if `stop` said so."""
        lrs: list[float] = []
        losses: list[float] = []
        per_epoch = 1
        if not process.connect(lambda: None, self.stop):
            return None
        while not self.stop():
            match process.receive(LOOK_SECONDS):
                case Built(steps_per_epoch=steps):
                    per_epoch = steps
                case Readings() as found:
                    lrs += found.lrs
                    losses += found.losses
                    self.epochs += len(found.lrs) / per_epoch
                case Report() | Boundary():
                    process.send(GoOn())
                case Failed(error=error):
                    raise TrialFailedError(error)
                case Finished():
                    return Ramp(seed=seed, lrs=tuple(lrs), losses=tuple(losses))
        return None
