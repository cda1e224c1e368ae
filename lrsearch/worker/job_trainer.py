"""TODO lrsearch.worker.job_trainer."""

from lrsearch.fusing.choice import Choice
from lrsearch.recipe.recipe import Recipe
from lrsearch.training.engine import CohortError, Engine, SoloEngine
from lrsearch.training.failures import TrialFailedError, failures
from lrsearch.training.fused.cohort import Cohort
from lrsearch.worker.context import Desk
from lrsearch.worker.leased_job import Seat
from lrsearch.worker.training_loop import Shift, Source, _reason, log


def engine_for(desk: Desk, choice: Choice, recipe: Recipe) -> Engine:
    """An engine for this recipe and others like it.

    For several places it raises CohortError, and what the task's code raises.
    """
    if choice.engine == "fused":
        return Cohort(desk.search.spec, desk.cache, recipe, choice.size)
    return SoloEngine(desk.search.spec, desk.cache)


class Crew:
    """Trains what a worker claims, together where that was chosen."""

    def __init__(self, desk: Desk, choice: Choice) -> None:
        self.desk, self.choice = desk, choice

    def train(self, source: Source) -> bool:
        """Train the next job, and whoever joins, to their ends; False if there is none."""
        job = source(self.desk, ())
        if job is None:
            return False
        seat = Seat(self.desk, job)
        for other in self._shift(seat, None if seat.goes_alone else source):
            self._shift(other, None)
        return True

    def _shift(self, seat: Seat, source: Source | None) -> list[Seat]:
        """Train it, alone if there is no source of others; who has to be trained alone next."""
        engine = self._engine(seat, alone=source is None)
        shift = Shift(self.desk, engine, source, self.choice)
        try:
            return shift.run(seat)
        except CohortError as error:
            self._go_solo(str(error))
            return []

    def _engine(self, seat: Seat, *, alone: bool) -> Engine:
        if not alone:
            try:
                with failures():
                    return engine_for(self.desk, self.choice, seat.job.recipe)
            except TrialFailedError as failure:
                self._go_solo(_reason(failure))
        return SoloEngine(self.desk.search.spec, self.desk.cache)

    def _go_solo(self, reason: str) -> None:
        self.choice = Choice(engine="solo", size=1, reason=reason)
        log.warning("training together failed (%s); this worker goes on one by one", reason)
