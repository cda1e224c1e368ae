"""A worker's trials and confirmation runs: resumed, trained, watched, checkpointed, ended."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from lrsearch import rungs
from lrsearch.checkpoints import Checkpoints
from lrsearch.errors import SpecError, TaskError
from lrsearch.keeper import Keeper, StopTrial
from lrsearch.recipe import Recipe
from lrsearch.storage import claims, confirmations, leases, trials
from lrsearch.storage.leases import Claim
from lrsearch.storage.rows import Row
from lrsearch.storage.tables import TrialState
from lrsearch.study.search import Assignment, LostTrialError, Outcome, Search
from lrsearch.telemetry import Telemetry
from lrsearch.training.loop import Training
from lrsearch.training.setup import TaskCache, TrialFailedError, failures, start_training
from lrsearch.training.validation import Validation
from lrsearch.values import best_validation, objective_value

log = logging.getLogger("lrsearch")

#: Most steps trained between looks at whether the worker is to stop, and about how long they take:
#: a preempted worker has let go of its trial soon after.
STEPS_PER_LOOK, LOOK_SECONDS = 16, 0.5


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What a worker works with."""

    search: Search
    cache: TaskCache
    keeper: Keeper
    checkpoints: Checkpoints
    #: Whether the process was asked to end.
    stop: Callable[[], bool]


class Course:
    """The training of what is held, from its last checkpoint to its end or a stop.

    Raises TrialFailedError if the task's code does.
    """

    def __init__(self, desk: Desk, claim: Claim, recipe: Recipe, rows: Telemetry) -> None:
        self.desk, self.claim, self.rows = desk, claim, rows
        with failures():
            self.training = start_training(desk.search.spec, recipe, desk.cache)
        try:
            waiting = desk.checkpoints.resume(claim, self.training)
        except TaskError as error:  # a checkpoint that did not fit made it begin anew
            raise TrialFailedError(str(error)) from error
        for row in waiting or ():
            rows.add(row)
        self.training.beat = desk.keeper.beat

    def validations(self) -> Iterator[Validation]:
        """Train on, a validation at a time, until the end or until asked to stop.

        Each is among the rows that wait for the database. Raises LostTrialError when the lease is
        gone, StopTrial when somebody asked for the end, TrialFailedError if the task's code fails.
        """
        training, steps = self.training, STEPS_PER_LOOK
        while not training.done and not self.desk.stop():
            self._look()
            started = time.monotonic()
            row = None
            with failures():
                training.advance(min(training.next_validation, training.step + steps))
                if training.step >= training.next_validation and training.diverged is None:
                    number = training.validated + 1
                    last = number == len(training.plan.validations)
                    row = training.validate(with_ema=last or number in training.plan.rungs)
            if row is not None:
                self.rows.add(asdict(row))
                yield row
                continue
            share = LOOK_SECONDS / max(time.monotonic() - started, 1e-6)
            steps = max(1, min(STEPS_PER_LOOK, int(steps * share)))

    def _look(self) -> None:
        self.desk.keeper.check()
        limit = self.desk.search.spec.max_trial_time
        if limit is not None and self.training.seconds > limit:
            raise TrialFailedError(f"it trained longer than max_trial_time, {limit:g} s")
        if self.desk.checkpoints.due(self.training):
            self.save()

    def save(self) -> None:
        """Write a checkpoint, with the rows that the database does not have yet."""
        self.desk.checkpoints.save(self.claim, self.training, self.rows.pending())


def train_trial(desk: Desk, assignment: Assignment) -> None:
    """Train a trial to its end, a rung or a divergence; one that is stopped is let go of."""
    claim, number = assignment.claim, assignment.number
    rows = Telemetry()
    try:
        with desk.keeper.holding(claim, f"trial {number}", rows):
            outcome = _outcome(desk, assignment, rows)
        if outcome is None:
            desk.search.database.run(lambda connection: trials.release(connection, claim))
            log.info("trial %d released at a checkpoint", number)
        elif desk.search.tell(assignment, outcome, rows.pending()):
            desk.checkpoints.forget(claim)
            reason = f" ({outcome.reason})" if outcome.reason else ""
            log.info("trial %d %s%s: %s", number, outcome.state, reason, assignment.recipe.title())
        else:
            raise LostTrialError(f"trial {number} was taken over by another worker")
    except LostTrialError as lost:
        log.warning("%s; dropped", lost)
    finally:
        rows.close()


def _outcome(desk: Desk, assignment: Assignment, rows: Telemetry) -> Outcome | None:
    """How the training ended; None when the worker was stopped, with a checkpoint left."""
    training = None
    try:
        course = Course(desk, assignment.claim, assignment.recipe, rows)
        training = course.training
        for row in course.validations():
            rung = training.plan.rungs.get(row.validation)
            if rung is None or training.diverged is not None:
                continue
            if not _passes(desk.search, assignment, row, rung, rows):
                return _ended(training, TrialState.PRUNED)
            if desk.checkpoints.due(training):
                course.save()
    except TrialFailedError as failure:
        return _ended(training, TrialState.FAILED, str(failure))
    except StopTrial:
        return _ended(training, TrialState.PRUNED, "stopped by lrsearch trial stop")
    if training.diverged is not None:
        return _ended(training, TrialState.DIVERGED, training.diverged)
    if training.done:
        return _ended(training, TrialState.COMPLETE)
    course.save()
    return None


def _passes(
    search: Search, assignment: Assignment, row: Validation, rung: int, rows: Telemetry
) -> bool:
    value = objective_value(asdict(row), search.spec)
    waiting = rows.pending()
    passes = search.passes_rung(
        assignment,
        rung=rung,
        signal=rungs.signal(row.val_loss, row.val_loss_ema),
        value=float("nan") if value is None else value,
        validation=row.validation,
        rows=waiting,
    )
    rows.acknowledge(row.validation)
    return passes


def _ended(training: Training | None, state: TrialState, reason: str | None = None) -> Outcome:
    if training is None:
        return Outcome(state=state, reason=reason, epochs=0, seconds=0, progress=0, start_loss=0)
    return Outcome(
        state=state,
        reason=reason,
        epochs=training.epochs,
        seconds=training.seconds,
        progress=training.step / training.plan.total_steps,
        start_loss=training.start_loss,
    )


def _let_go(desk: Desk) -> None:
    desk.search.database.run(
        lambda connection: leases.release(connection, desk.search.study_id, [desk.keeper.worker])
    )


def train_confirmation(desk: Desk, run: Row) -> None:
    """Train a winner's recipe to its end with the run's seed, and record it."""
    claim, number = confirmations.claim_of(run), run["number"]
    doing = f"confirmation of trial {number}, seed {run['seed']}"
    rows = Telemetry()
    try:
        with desk.keeper.holding(claim, doing):
            values = _confirmed(desk, run, rows)
        if values is None:
            _let_go(desk)
        elif _record(desk.search, run, values):
            desk.checkpoints.forget(claim)
            log.info("trial %d confirmed with seed %d: %s", number, run["seed"], values["value"])
        else:
            raise LostTrialError(f"{doing} was taken over by another worker")
    except LostTrialError as lost:
        log.warning("%s; dropped", lost)
    finally:
        rows.close()


def _confirmed(desk: Desk, run: Row, rows: Telemetry) -> dict[str, Any] | None:
    """How a confirmation run ended; None when the worker was stopped, with a checkpoint left.

    Its rows stay here, and in its checkpoints: the database keeps its end alone.
    """
    training, reason = None, None
    try:
        recipe = _recipe_of(desk.search, run)
        course = Course(desk, confirmations.claim_of(run), recipe, rows)
        training = course.training
        for _ in course.validations():
            pass
    except (TrialFailedError, SpecError) as failure:
        reason = str(failure)
    if reason is None and training is not None and not training.done:
        course.save()
        return None
    return _values(desk.search, training, rows.pending(), reason)


def _recipe_of(search: Search, run: Row) -> Recipe:
    """What a confirmation run trains. Raises SpecError if its trial's row gives nothing."""
    number = run["number"]
    trial = search.database.look(
        lambda connection: trials.by_number(connection, search.study_id, number)
    )
    if trial is None:
        raise SpecError(f"there is no trial {number}")
    recipe = search.spec.recipe(trial["recipe"], batch_size=None)
    return recipe.model_copy(update={"seed": run["seed"]})


def _values(
    search: Search, training: Training | None, rows: list[dict[str, Any]], reason: str | None
) -> dict[str, Any]:
    state = TrialState.COMPLETE if reason is None else TrialState.FAILED
    if training is not None and training.diverged is not None:
        state, reason = TrialState.DIVERGED, training.diverged
    # One that did not get to its end has no value: it would stand beside whole runs.
    best = best_validation(rows, search.spec) if state == TrialState.COMPLETE else None
    return {
        "state": state,
        "reason": reason,
        "value": None if best is None else objective_value(best, search.spec),
        "metrics": None if best is None else best["metrics"],
        "epochs": 0.0 if training is None else training.epochs,
        "seconds": 0.0 if training is None else training.seconds,
    }


def _record(search: Search, run: Row, values: dict[str, Any]) -> bool:
    claim = confirmations.claim_of(run)
    return search.database.run(
        lambda connection: confirmations.record(connection, run, values),
        recall=lambda connection: claims.has_ended(connection, claim) or None,
    )
