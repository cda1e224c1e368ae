"""Trains the next job of a worker, together with others where that was chosen."""

from dataclasses import replace

from lrsearch.fusing.choice import Choice
from lrsearch.recipe.recipe import Recipe
from lrsearch.training.engine import Engine
from lrsearch.training.failures import CohortError, TrialFailedError, failures, out_of_memory
from lrsearch.worker.context import WorkerContext
from lrsearch.worker.training_loop.leased_job import LeasedJob
from lrsearch.worker.training_loop.loop import Source, TrainingLoop, log, why_failed


def engine_for(context: WorkerContext, choice: Choice, recipe: Recipe) -> Engine:
    """An engine for this recipe and others like it.

    For several places it raises CohortError, and what the program's code raises.
    """
    return context.program.engine(choice, recipe)


class JobTrainer:
    """Trains what a worker claims, together where that was chosen."""

    def __init__(self, context: WorkerContext, choice: Choice) -> None:
        self.context, self.choice = context, choice

    def train(self, source: Source) -> bool:
        """Train the next job, and those that join it, to their ends; False if there is none."""
        job = source(self.context, ())
        if job is None:
            return False
        leased = LeasedJob(self.context, job)
        for other in self._train_together(leased, None if leased.is_suspect else source):
            self._train_together(other, None)
        return True

    def _train_together(self, leased: LeasedJob, source: Source | None) -> list[LeasedJob]:
        """Train it, alone if there is no source of others; the jobs to be trained alone next."""
        engine = self._engine(leased, alone=source is None)
        loop = TrainingLoop(self.context, engine, source, self.choice)
        try:
            return loop.run(leased)
        except CohortError as error:
            self._train_fewer(error, str(error))
            return []

    def _engine(self, leased: LeasedJob, *, alone: bool) -> Engine:
        while not alone and self.choice.engine == "fused":
            try:
                with failures():
                    return engine_for(self.context, self.choice, leased.job.recipe)
            except TrialFailedError as failure:
                self._train_fewer(failure, why_failed(failure))
        # What has lost its worker twice may have lost it to what was compiled.
        if self.choice.engine == "compiled" and not leased.is_suspect:
            return engine_for(self.context, self.choice, leased.job.recipe)
        return self.context.program.solo()

    def _train_fewer(self, error: Exception, reason: str) -> None:
        """Half as many trials at once from now on where memory ran out; else one at a time."""
        fewer = self.choice.size // 2 if out_of_memory(error) else 1
        if fewer > 1:
            self.choice = replace(self.choice, size=fewer, reason=reason)
            now = f"{fewer} at a time"
        else:
            self.choice = Choice(engine="solo", size=1, reason=reason)
            now = "one at a time"
        log.warning(
            "training several trials at once failed (%s); this worker trains %s now", reason, now
        )
