"""A search trial as a worker trains it: asked for, judged at rungs, told."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import nan

from lrsearch.child_process.folders import search_name
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.trial_value import objective_value, signal
from lrsearch.storage.leases import Claim
from lrsearch.study.open_study import Arrival, Assignment, OpenStudy, Outcome
from lrsearch.study.rung_decisions import write_again
from lrsearch.training.training import Purpose, Training
from lrsearch.transfer.ended import NOISE_KIND
from lrsearch.transfer.successor import keep_step
from lrsearch.trial.curve import Measurement, Validation
from lrsearch.trial.states import TrialState
from lrsearch.worker.context import WorkerContext
from lrsearch.worker.health import Health
from lrsearch.worker.leases.curve_buffer import CurveBuffer

log = logging.getLogger("lrsearch")


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """A trial of the search; see `job.Job`."""

    search: OpenStudy
    assignment: Assignment
    health: Health
    has_curve = True

    @property
    def claim(self) -> Claim:
        return self.assignment.claim

    @property
    def recipe(self) -> Recipe:
        return self.assignment.recipe

    @property
    def deaths(self) -> int:
        return self.assignment.deaths

    @property
    def name(self) -> str:
        return f"trial {self.assignment.number}"

    @property
    def purpose(self) -> Purpose:
        return Purpose(
            kind="search",
            folder=search_name(self.assignment.number),
            attempt=self.claim.attempt,
            worker=self.claim.worker or "",
        )

    @property
    def keeps_weights(self) -> bool:
        keeps: bool = self.search.spec.checkpoints.keep_weights
        return keeps

    @property
    def keep_step(self) -> int | None:
        return keep_step(self.search.spec, self.recipe)

    @property
    def measures_noise(self) -> bool:
        return self.assignment.kind == NOISE_KIND

    def is_tested(self, row: Validation, rows: CurveBuffer, *, last: bool) -> bool:
        return False

    def arrival(self, row: Measurement, rung: int, number: int, rows: CurveBuffer) -> Arrival:
        value = objective_value(row, self.search.spec)
        return Arrival(
            assignment=self.assignment,
            rung=rung,
            signal=signal(row, self.search.spec),
            value=nan if value is None else value,
            validation=number,
            epochs=row.epoch,
            seconds=row.seconds,
            taken=rows.taken,
            rows=rows.pending(),
        )

    def write_again(self, rows: Sequence[Validation], passed: Sequence[Arrival]) -> None:
        self.search.database.run(
            lambda connection: write_again(connection, self.search, self.assignment, rows, passed)
        )

    def end(
        self,
        training: Training | None,
        state: TrialState,
        reason: str | None,
        rows: CurveBuffer,
    ) -> bool:
        outcome, taken = _outcome(training, state, reason), rows.taken
        done = self.search.tell(self.assignment, outcome, rows.pending(), taken=taken)
        if done:
            validated = training is not None and training.validated > 0
            self.health.ended(failed=state == TrialState.FAILED, validated=validated)
            because = f" ({reason})" if reason else ""
            log.info("%s %s%s: %s", self.name, state, because, self.recipe.title())
        return done


def _outcome(training: Training | None, state: TrialState, reason: str | None) -> Outcome:
    if training is None:
        return Outcome(state=state, reason=reason, epochs=0, seconds=0, progress=0, start_loss=0)
    return Outcome(
        state=state,
        reason=reason,
        epochs=training.own_epochs,
        seconds=training.seconds,
        progress=training.progress,
        start_loss=training.start_loss,
    )


def next_trial(context: WorkerContext, known: Collection[Claim]) -> TrialJob | None:
    """Claim a trial beside those that the worker holds; None if the budget or the time is used."""
    if not context.limit.allows("search"):
        return None
    assignment = context.search.ask(
        context.renewer.worker,
        context.program.batch_size,
        context.renewer.holding,
        known=known,
        alone=not known,
    )
    if assignment is None:
        return None
    return TrialJob(search=context.search, assignment=assignment, health=context.health)
