"""One worker: one process, one device, one loop over trials and confirmation runs."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch

from lrsearch import confirm, range_work, rungs
from lrsearch.checkpoint_files import sweep
from lrsearch.checkpoints import Checkpoints
from lrsearch.recipe import Recipe
from lrsearch.storage import (
    claims,
    confirmations,
    curves,
    leases,
    range_tests,
    studies,
    trials,
    workers,
)
from lrsearch.storage.rows import Row
from lrsearch.storage.tables import StudyState, TrialState
from lrsearch.study.search import Assignment, LostTrialError, Outcome, Search
from lrsearch.task import LoadedTask
from lrsearch.training.loop import Training, Validation
from lrsearch.training.setup import TaskCache, TrialFailedError, failures, start_training
from lrsearch.values import best_validation, objective_value

log = logging.getLogger("lrsearch")

#: Steps trained between looks at whether the worker is to stop.
STEPS_PER_LOOK = 16
#: Curve rows are written when so many are waiting or so many seconds have passed.
BATCH_ROWS, BATCH_SECONDS = 50, 2.0
#: How often an idle worker looks for work.
IDLE_SECONDS = 0.3


class Stop:
    """Whether this process was asked to end, by a signal or by the end of its parent."""

    def __init__(self, parent: int = 0) -> None:
        """`parent` is the process that started this one; 0 if it may outlive it."""
        self.parent = parent
        self.signalled = False

    @property
    def asked(self) -> bool:
        return self.signalled or (self.parent != 0 and os.getppid() != self.parent)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the worker in order; a second one ends it at once."""

        def ask(number: int, frame: object) -> None:
            if self.signalled:
                raise KeyboardInterrupt
            self.signalled = True

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class CurveWriter:
    """Writes a trial's validations to the database in batches."""

    def __init__(self, search: Search, assignment: Assignment) -> None:
        self.search, self.claim = search, assignment.claim
        self.rows: list[dict[str, Any]] = []
        self.written = time.monotonic()

    def add(self, row: Validation) -> None:
        self.add_row(asdict(row))

    def add_row(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        late = time.monotonic() - self.written > BATCH_SECONDS
        if late or len(self.rows) >= BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        with self.search.database.begin() as connection:
            curves.add(connection, self.claim, self.rows)
        self.rows, self.written = [], time.monotonic()


def release_dead(search: Search) -> int:
    """Let go of what dead workers of this machine held; how many trials, tests and runs it was."""
    with search.database.begin() as connection:
        dead = [
            name for name in leases.holders(connection, search.study_id) if workers.is_dead(name)
        ]
        return leases.release(connection, search.study_id, dead) if dead else 0


def is_finished(search: Search) -> bool:
    """Whether nothing of the study runs and nothing more will start."""
    with search.database.read() as connection:
        study = studies.by_id(connection, search.study_id)
        if study is None:
            return True  # it was deleted
        if trials.any_running(connection, search.study_id):
            return False
        runs = confirmations.everything(connection, search.study_id)
        if any(run["state"] in claims.OPEN for run in runs):
            return False
        if range_tests.workers(connection, search.study_id):
            return False
        if study["state"] == StudyState.PAUSED or search.may_start(connection):
            return False
        return not confirm.next_round(connection, search, study)


class Worker:
    """Trains what the study asks for, until its budget is used or the process is asked to stop."""

    def __init__(
        self, search: Search, loaded: LoadedTask, device: torch.device, stop: Stop
    ) -> None:
        self.search, self.stop = search, stop
        self.cache = TaskCache(loaded, device)
        self.name = workers.identity()
        self.checkpoints = Checkpoints.of(search)

    def run(self) -> None:
        """Work until the study is finished; what is held when it ends early is let go of."""
        try:
            self._loop()
        except BaseException:
            with self.search.database.begin() as connection:
                leases.release(connection, self.search.study_id, [self.name])
            raise

    def _loop(self) -> None:
        release_dead(self.search)
        sweep(self.search, self.checkpoints.store)
        while not self.stop.asked:
            if self._work():
                continue
            if is_finished(self.search):
                return
            release_dead(self.search)
            time.sleep(IDLE_SECONDS)

    def _work(self) -> bool:
        """Train a range test, trial or confirmation run, or plan some; False if there is none."""
        test = self.search.claim_range_test(self.name)
        if test is not None:
            range_work.train(self.search, test, self.cache, lambda: self.stop.asked)
            return True
        assignment = self.search.ask(self.name, self.cache.batch_size)
        if assignment is not None:
            self._train_trial(assignment)
            return True
        with self.search.database.begin() as connection:
            run = confirmations.claim(
                connection, self.search.study_id, self.name, self.search.spec.lease.seconds
            )
        if run is not None:
            self._train_confirmation(run)
            return True
        return confirm.advance(self.search)

    def _train_trial(self, assignment: Assignment) -> None:
        writer = CurveWriter(self.search, assignment)
        number = assignment.number
        try:
            outcome = self._outcome(assignment, writer)
            writer.flush()
        except LostTrialError as lost:
            log.warning("%s; dropped", lost)
            return
        if outcome is None:
            with self.search.database.begin() as connection:
                trials.release(connection, assignment.claim)
            log.info("trial %d released at a checkpoint", number)
        elif self.search.tell(assignment, outcome):
            self.checkpoints.forget(assignment.claim)
            reason = f" ({outcome.reason})" if outcome.reason else ""
            log.info("trial %d %s%s: %s", number, outcome.state, reason, assignment.recipe.title())
        else:
            log.warning("trial %d was taken over by another worker; dropped", number)

    def _outcome(self, assignment: Assignment, writer: CurveWriter) -> Outcome | None:
        """Train to the end, a rung or a divergence; None when stopped, with a checkpoint left."""
        training = None
        try:
            with failures():
                training = start_training(self.search.spec, assignment.recipe, self.cache)
                for pending in self.checkpoints.resume(assignment.claim, training) or ():
                    writer.add_row(pending)
            for row in self._validations(training):
                writer.add(row)
                if training.diverged is None and not self._passes(training, assignment, row):
                    return _ended(training, TrialState.PRUNED)
        except TrialFailedError as failure:
            return _ended(training, TrialState.FAILED, str(failure))
        if training.diverged is not None:
            return _ended(training, TrialState.DIVERGED, training.diverged)
        if training.done:
            return _ended(training, TrialState.COMPLETE)
        writer.flush()  # first: whoever goes on from the checkpoint writes only later rows
        self.checkpoints.save(assignment.claim, training)
        return None

    def _validations(self, training: Training) -> Iterator[Validation]:
        """Train on, a validation at a time, until the end or until asked to stop."""
        while not training.done and not self.stop.asked:
            with failures():
                training.advance(min(training.next_validation, training.step + STEPS_PER_LOOK))
                if training.step < training.next_validation or training.diverged is not None:
                    continue
                number = training.validated + 1
                rung = number in training.plan.rungs or number == len(training.plan.validations)
                row = training.validate(with_ema=rung)
            yield row

    def _passes(self, training: Training, assignment: Assignment, row: Validation) -> bool:
        rung = training.plan.rungs.get(row.validation)
        if rung is None:
            return True
        value = objective_value(asdict(row), self.search.spec)
        return self.search.passes_rung(
            assignment,
            rung=rung,
            signal=rungs.signal(row.val_loss, row.val_loss_ema),
            value=float("nan") if value is None else value,
            validation=row.validation,
        )

    def _train_confirmation(self, run: Row) -> None:
        """Train a winner's recipe to its end with the run's seed."""
        spec = self.search.spec
        with self.search.database.read() as connection:
            trial = trials.by_number(connection, self.search.study_id, run["number"])
        assert trial is not None
        recipe = Recipe.from_dict({**trial["recipe"], "seed": run["seed"]})
        training, rows, reason = None, [], None
        try:
            with failures():
                training = start_training(spec, recipe, self.cache)
            rows = [asdict(row) for row in self._validations(training)]
        except TrialFailedError as failure:
            reason = str(failure)
        if training is not None and not training.done and reason is None:
            with self.search.database.begin() as connection:
                leases.release(connection, self.search.study_id, [self.name])
            return
        self._record_confirmation(run, training, rows, reason)

    def _record_confirmation(
        self,
        run: Row,
        training: Training | None,
        rows: list[dict[str, Any]],
        reason: str | None,
    ) -> None:
        state = TrialState.COMPLETE if reason is None else TrialState.FAILED
        best = best_validation(rows, self.search.spec)
        if training is not None and training.diverged is not None:
            state, reason, best = TrialState.DIVERGED, training.diverged, None
        values = {
            "state": state,
            "reason": reason,
            "value": None if best is None else objective_value(best, self.search.spec),
            "metrics": None if best is None else best["metrics"],
            "epochs": 0.0 if training is None else training.epochs,
            "seconds": 0.0 if training is None else training.seconds,
        }
        with self.search.database.begin() as connection:
            confirmations.record(connection, run, values)
        log.info("trial %d confirmed with seed %d: %s", run["number"], run["seed"], values["value"])


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
