"""A confirmation run as a worker trains it: claimed, trained to its end, recorded."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from lrsearch.child_process.folders import confirmation_name
from lrsearch.confirmation.runs import TEST
from lrsearch.errors import SpecError
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.trial_value import best_validation, objective_value
from lrsearch.storage import claims, confirmations, studies, trials
from lrsearch.storage.ends import ConfirmationEnd, End
from lrsearch.storage.leases import Claim, Kind
from lrsearch.storage.records import ConfirmationRecord
from lrsearch.study.assignment import Arrival
from lrsearch.study.lost_work import ALONE_FROM
from lrsearch.study.open_study import OpenStudy
from lrsearch.training.training import Purpose, Training
from lrsearch.trial.curve import Measurement, Validation, finite_scores
from lrsearch.trial.states import TrialState
from lrsearch.worker.context import WorkerContext
from lrsearch.worker.leases.curve_buffer import CurveBuffer

log = logging.getLogger("lrsearch")


@dataclass(frozen=True, kw_only=True)
class ConfirmationJob:
    """A winner's recipe with a fresh seed; see `job.Job`.

    Its rows stay with the worker, and in its checkpoints: the database keeps its end alone.
    """

    search: OpenStudy
    run: ConfirmationRecord
    recipe: Recipe
    has_curve = False
    keeps_weights = False
    measures_noise = False
    keep_step = None

    @property
    def claim(self) -> Claim:
        return confirmations.claim_of(self.run)

    @property
    def deaths(self) -> int:
        deaths: int = self.run.deaths
        return deaths

    @property
    def name(self) -> str:
        return f"confirmation of trial {self.run.number}, seed {self.run.seed}"

    @property
    def purpose(self) -> Purpose:
        return Purpose(
            kind="confirm",
            folder=confirmation_name(self.run.number, self.run.seed),
            attempt=self.claim.attempt,
            worker=self.claim.worker or "",
        )

    def is_tested(self, row: Validation, rows: CurveBuffer, *, last: bool) -> bool:
        """In the test round, at each validation that is its best so far: the last of them stays."""
        spec = self.search.spec
        if self.run.round != TEST or (spec.objective.at == "last" and not last):
            return False
        return best_validation([*rows.pending(), row], spec) is row

    def arrival(self, row: Measurement, rung: int, number: int, rows: CurveBuffer) -> None:
        return None

    def write_again(self, rows: Sequence[Validation], passed: Sequence[Arrival]) -> None:
        raise AssertionError("the database has nothing of it before its end")

    def end(
        self,
        training: Training | None,
        state: TrialState,
        reason: str | None,
        rows: CurveBuffer,
    ) -> bool:
        # One that did not get to its end has no value: it would stand beside whole runs.
        seen = rows.pending()
        best = best_validation(seen, self.search.spec) if state == TrialState.COMPLETE else None
        value = None if best is None else objective_value(best, self.search.spec)
        test = None if best is None else best.test
        end = ConfirmationEnd(
            state=state,
            reason=reason,
            value=value,
            metrics=None if best is None else finite_scores(best.metrics),
            test=None if test is None else finite_scores(test),
            epochs=0.0 if training is None else training.epochs,
            seconds=0.0 if training is None else training.seconds,
        )
        done = _record(self.search, self.run, end)
        if done:
            number, seed = self.run.number, self.run.seed
            log.info("trial %d confirmed with seed %d: %s", number, seed, value)
        return done


def next_run(context: WorkerContext, known: Collection[Claim]) -> ConfirmationJob | None:
    """Claim a run beside those that the worker holds; None if there is none to train."""
    while context.limit.allows("confirm") and (run := _claim(context, known)) is not None:
        try:
            recipe = _recipe_of(context.search, run)
        except SpecError as error:
            failed = End(state=TrialState.FAILED, reason=str(error), epochs=0.0, seconds=0.0)
            _record(context.search, run, failed)
        else:
            return ConfirmationJob(search=context.search, run=run, recipe=recipe)
    return None


def _claim(context: WorkerContext, known: Collection[Claim]) -> ConfirmationRecord | None:
    study, worker = context.search.study_id, context.renewer.worker
    lease, below = context.search.spec.lease.seconds, ALONE_FROM if known else None

    def claim(connection: Connection) -> ConfirmationRecord | None:
        studies.require(connection, context.search.record)
        return confirmations.claim(connection, study, worker, lease, deaths_below=below)

    return context.search.database.run(
        claim,
        recall=lambda connection: claims.held_by(
            connection, Kind.CONFIRMATION, ConfirmationRecord, study, worker, known=known
        ),
    )


def _recipe_of(search: OpenStudy, run: ConfirmationRecord) -> Recipe:
    """What a confirmation run trains. Raises SpecError if its trial's row gives nothing."""
    number = run.number
    trial = search.database.look(
        lambda connection: trials.by_number(connection, search.study_id, number)
    )
    if trial is None or trial.recipe is None:
        raise SpecError(f"there is no trial {number} with a recipe")
    recipe = search.spec.recipe(trial.recipe, batch_size=None)
    return recipe.model_copy(update={"seed": run.seed})


def _record(search: OpenStudy, run: ConfirmationRecord, end: End) -> bool:
    claim = confirmations.claim_of(run)
    return search.database.run(
        lambda connection: confirmations.record(connection, run, end),
        recall=lambda connection: claims.has_ended(connection, claim) or None,
    )
