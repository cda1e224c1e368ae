"""A trial or confirmation run in a worker's hands: its lease, rows, checkpoints and place."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from lrsearch.errors import TaskError
from lrsearch.spec.trial_value import best_validation
from lrsearch.storage import claims, curves
from lrsearch.storage.curves import LostRowsError
from lrsearch.study.assignment import Verdict
from lrsearch.study.lost_work import ALONE_FROM
from lrsearch.study.open_study import Arrival, LostTrialError
from lrsearch.training.engine import Engine
from lrsearch.training.failures import TrialFailedError, failures
from lrsearch.training.training import Training
from lrsearch.trial.curve import Measurement, Validation
from lrsearch.trial.states import TrialState
from lrsearch.worker.checkpoints import Checkpoints
from lrsearch.worker.context import WorkerContext
from lrsearch.worker.jobs.job import Job
from lrsearch.worker.leases.curve_buffer import CurveBuffer
from lrsearch.worker.time_limit import JobClock

T = TypeVar("T")

log = logging.getLogger("lrsearch")


class LeasedJob:
    """A job from its claim to its end. Its lease is renewed until it is closed."""

    def __init__(self, context: WorkerContext, job: Job) -> None:
        self.context, self.job = context, job
        self.rows = CurveBuffer()
        self.checkpoints = Checkpoints(context.study_checkpoints)
        self._clock = JobClock(context.limit, "search" if job.has_curve else "confirm")
        #: Its place in an engine; None outside of any.
        self.training: Training | None = None
        #: Its state, packed, when it left its place in an engine.
        self._packed: bytes | None = None
        #: Number of the last validation that was taken.
        self._seen = 0
        self._has_branch_point = False
        #: At rungs, in this attempt: what the database must know of them, their rows apart.
        self._arrivals: list[Arrival] = []
        self._held = context.renewer.hold(job.claim, job.name, self.rows if job.has_curve else None)
        context.log.begin(job.claim, job.name, None if job.has_curve else self.rows.pending)

    @property
    def is_suspect(self) -> bool:
        """Whether it was in training when workers died so often that it may be the cause."""
        return self.job.deaths >= ALONE_FROM

    def take_place(self, engine: Engine) -> bool:
        """Take a place, and stand at the last checkpoint.

        False, and the place is free again, if it stands where the others in the engine do not.
        Raises TrialFailedError if the task's code fails.
        """
        with failures():
            training = engine.admit(self.job.recipe, self.job.purpose)
        try:
            waiting = self._stand(training)
            fits = engine.fits(training)
        except TaskError as error:  # a checkpoint that did not fit made it begin anew
            engine.drop(training)
            raise TrialFailedError(str(error)) from error
        if not fits:
            engine.drop(training)
            return False
        for row in waiting or ():
            self.rows.add(row)
        training.beat = self.context.renewer.beat
        self.training, self._seen = training, training.validated
        return True

    def _stand(self, training: Training) -> list[Validation] | None:
        """Stand where another engine left it, or at the last checkpoint; rows to be added."""
        if self._packed is None:
            return self.checkpoints.resume(self.job.claim, training)
        state, self._packed = self._packed, None
        if training.unpack(state, says_where=False) is None:
            raise TrialFailedError("it cannot go on in another engine; see the log")
        return None

    def leave(self, engine: Engine) -> None:
        """Free the place; the next one that is taken begins where this one ended."""
        assert self.training is not None
        self._packed = self.training.pack()
        engine.drop(self.training)
        self.training = None

    def look(self) -> None:
        """Whether it may go on.

        Raises LostTrialError when the lease is gone, StopTrial when somebody asked for the end,
        TrialFailedError when it has trained for too long.
        """
        self._held.check()
        training = self.training
        if training is not None and not self.context.stop():  # then it is saved in `release`
            self._clock.look(may_save=training.may_save())
        limit = self.context.search.spec.max_trial_time
        if limit is not None and self.training is not None and self.training.seconds > limit:
            raise TrialFailedError(f"it trained longer than max_trial_time, {limit:g} s")

    def take(self, row: Measurement) -> Arrival | None:
        """Take a validation; what is to be judged, if it is at a rung.

        Raises TrialFailedError if the test set is to be scored, and the task's code fails.
        """
        assert self.training is not None
        number = self.training.validated
        if isinstance(row, Validation):
            row = self._with_noise(self._tested(row))
            self._keep_weights(row)
            self.rows.add(row)
        self._seen = number
        rung = self.training.rung_of(number)
        if rung is None or self.training.diverged is not None:
            return None
        arrival = self.job.arrival(row, rung, number, self.rows)
        if arrival is not None:
            self._arrivals.append(replace(arrival, rows=(), taken=None))
        return arrival

    def _tested(self, row: Validation) -> Validation:
        """With scores on the test set, if they are due."""
        assert self.training is not None
        last = self.training.is_last(self.training.validated)
        if self.training.diverged is not None or not self.job.is_tested(row, self.rows, last=last):
            return row
        scores = self.context.program.test_scores(self.training, self.job.recipe)
        return replace(row, test=scores)

    def _with_noise(self, row: Validation) -> Validation:
        """With the noise of the gradient, if it is measured."""
        training = self.training
        assert training is not None
        if not self.job.measures_noise or training.diverged is not None:
            return row
        found = self.context.program.noise_metrics(training, self.job.recipe)
        return replace(row, metrics={**row.metrics, **found})

    def _keep_weights(self, row: Validation) -> None:
        """Keep the deployed weights of this validation if it gives the value, as far as it went."""
        training, spec = self.training, self.context.search.spec
        assert training is not None
        if not self.job.keeps_weights or training.diverged is not None:
            return
        if spec.objective.at == "last" and not training.is_last(training.validated):
            return
        before = [] if training.kept_row is None else [training.kept_row]
        if best_validation([*before, row], spec) is row:
            self.context.program.keep_weights(training, row)

    def saved_there(self, arrival: Arrival) -> Arrival:
        """With a checkpoint that is written, if the trial may wait at its rung."""
        training = self.training
        assert training is not None
        if not self.context.search.is_planned or not training.may_save():
            return arrival
        checkpoint = self.checkpoints.write_at_rung(self.job.claim, training)
        return replace(arrival, checkpoint=checkpoint)

    def told(self, arrival: Arrival, verdict: Verdict) -> Verdict:
        """What becomes of it, after the database has its rows. Raises LostTrialError."""
        if verdict == Verdict.LOST:
            raise LostTrialError(f"{self.job.name} was taken over by another worker")
        if arrival.checkpoint is not None and self.training is not None:
            self.checkpoints.recorded_at_rung(self.training)
        if arrival.rows:
            self.rows.acknowledge(arrival.rows[-1].validation)
        return verdict

    def save_what_is_due(self, among: int) -> None:
        """Leave a branch point where the study says, and a checkpoint where it is worth its time.

        Of several in training together, where an epoch ends: there they may go on together.
        """
        assert self.training is not None
        if self.steps_to_branch_point == 0:
            self._leave_branch_point(self.training)
        at_end = self.training.position == 0
        if (at_end or among == 1) and self.checkpoints.due(self.training, among):
            started = time.monotonic()
            self.save()
            self.context.limit.saw_save(time.monotonic() - started, among)

    def write_again(self, before: int | None = None) -> None:
        """Write what the database has lost of this attempt: recipe, rows, and marks at rungs.

        The marks are those of rungs `before` this validation; with None, of all it has passed.
        """
        marks = [one for one in self._arrivals if before is None or one.validation < before]
        self.job.write_again(self.rows.everything(), marks)
        log.warning("the database had lost rows of %s; they are written again", self.job.name)

    def _made_whole(self, write: Callable[[], T]) -> T:
        """What `write` gives; where the database has lost rows, once it has them again."""
        try:
            return write()
        except LostRowsError:
            self.write_again()
            return write()

    def save(self) -> None:
        """Write a checkpoint, with the rows that the database does not have yet.

        None is written if an error among several has cost the row of a validation: it is done
        again.
        """
        training, claim = self.training, self.job.claim
        if training is None or training.validated != self._seen or not training.may_save():
            return
        taken = self.rows.taken if self.job.has_curve else None
        self._made_whole(
            lambda: self.checkpoints.save(claim, training, self.rows.pending(), taken=taken)
        )

    @property
    def steps_to_branch_point(self) -> int | None:
        """Steps until it leaves a checkpoint for other runs; None once it has, or if none is asked.

        0 where it is to leave it now.
        """
        at = self.job.keep_step
        if at is None or self.training is None or self._has_branch_point:
            return None
        return at - self.training.step if self.training.step <= at else None

    def _leave_branch_point(self, training: Training) -> None:
        claim, own = self.job.claim, self.rows.everything()
        self._has_branch_point = True
        stored = self.context.search.database.look(
            lambda connection: curves.of_trial(connection, claim.id)
        )
        first = own[0].validation if own else math.inf
        curve = [*(row.alone() for row in stored if row.validation < first), *own]
        self._made_whole(lambda: self.checkpoints.leave_branch_point(claim, training, curve))

    def end(self, state: TrialState, reason: str | None = None) -> None:
        """Record how it ended. Raises LostTrialError if another has taken it over.

        Its weights, where they are kept, are saved first: who takes it over ends it with them.
        """
        keeps = state == TrialState.COMPLETE and self.job.keeps_weights
        if keeps:
            self.save()
        self.context.renewer.drop(self._held)
        self._clock.end()
        if not self._made_whole(lambda: self.job.end(self.training, state, reason, self.rows)):
            raise LostTrialError(f"{self.job.name} was taken over by another worker")
        # A script's weights lie in its folder, not in its checkpoints.
        has_them = self.context.search.spec.program == "task"
        self.checkpoints.forget(self.job.claim, but_newest=keeps and has_them)

    def close(self) -> None:
        """Renew its lease and write its rows no more."""
        self.context.renewer.drop(self._held)
        self.context.log.finish(self.job.claim)
        self.rows.close()


def pass_rungs(
    context: WorkerContext, at_rungs: Sequence[tuple[LeasedJob, Arrival]]
) -> list[Verdict]:
    """What becomes of each job at its rung, once the database has all of their rows."""
    arrivals = [arrival for _, arrival in at_rungs]
    try:
        return context.search.pass_rungs(arrivals)
    except LostRowsError:
        for leased, arrival in at_rungs:
            leased.write_again(before=arrival.validation)
        return context.search.pass_rungs(arrivals)


def release(context: WorkerContext, leased_jobs: Sequence[LeasedJob]) -> list[str]:
    """Let go of these, so that other workers take them over; the names of those not lost before."""
    for leased in leased_jobs:
        leased.close()
    jobs = [leased.job for leased in leased_jobs]
    return context.search.database.run(
        lambda connection: [job.name for job in jobs if claims.release(connection, job.claim)]
    )
