"""The loop of a worker: an engine's places are filled, trained, watched and freed.

One trial at a time is an engine of one place; there is no other loop.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from lrsearch.fusing.choice import Choice
from lrsearch.storage.leases import Claim
from lrsearch.study.assignment import Verdict
from lrsearch.study.lost_work import lose
from lrsearch.study.open_study import LostTrialError
from lrsearch.training.engine import STEPS_PER_LOOK, Engine
from lrsearch.training.failures import (
    CohortError,
    ProcessKilledError,
    TrialFailedError,
    failures,
)
from lrsearch.training.training import wants_average
from lrsearch.trial.curve import Measurement
from lrsearch.trial.states import TrialState
from lrsearch.worker.context import WorkerContext
from lrsearch.worker.jobs.job import Job
from lrsearch.worker.leases.renewal import StopTrial
from lrsearch.worker.training_loop.leased_job import LeasedJob, pass_rungs, release

log = logging.getLogger("lrsearch")

#: About how long a worker trains between looks at whether it is to stop: a preempted one has let go
#: of its trials soon after.
LOOK_SECONDS = 0.5

#: The next job beside those that the worker holds already; None if there is none.
Source = Callable[[WorkerContext, Collection[Claim]], Job | None]


class TrainingLoop:
    """One engine at work until all its places are free, or until the worker is to stop."""

    def __init__(
        self, context: WorkerContext, engine: Engine, source: Source | None, choice: Choice
    ) -> None:
        self.context, self.engine, self.choice = context, engine, choice
        #: None: no more jobs join.
        self._source = source
        self.leased_jobs: list[LeasedJob] = []
        #: Claimed, and not taken by the engine. If that was before the first step, it is tried once
        #: more where an epoch ends; no other job is claimed meanwhile.
        self.unplaced: LeasedJob | None = None
        #: Taken out of the engine, to be trained one after the other.
        self._alone: list[LeasedJob] = []
        self._begun = False
        self._steps = min(STEPS_PER_LOOK, engine.steps_per_look)

    def run(self, first: LeasedJob) -> list[LeasedJob]:
        """Train `first` and the jobs that join it; those to be trained alone next, still leased.

        Raises CohortError when this engine cannot go on. Then, and when the worker is to stop,
        everything is let go of, with a checkpoint.
        """
        with ExitStack() as stack:
            stack.callback(self.engine.close)
            stack.callback(self._close)
            self._place(first)
            while self.leased_jobs and not self.context.stop():
                self._join()
                self._look()
                self._train()
                self._take_out_the_last()
            if self.context.stop():
                self._leave()
            alone, self._alone, self.unplaced = self._all(), [], None
        return alone

    def _close(self) -> None:
        """Renew no more leases; called however the loop ends."""
        with ExitStack() as stack:
            for leased in self._all():
                stack.callback(leased.close)

    def _all(self) -> list[LeasedJob]:
        return [
            *self.leased_jobs,
            *self._alone,
            *([] if self.unplaced is None else [self.unplaced]),
        ]

    # Jobs that join.

    def _join(self) -> None:
        """Fill the free places if this is the moment."""
        while self._source is not None and self._may_join():
            leased, self.unplaced = self.unplaced, None
            if leased is None:
                job = self._source(self.context, [leased.job.claim for leased in self.leased_jobs])
                if job is None:
                    self._close_source()
                    return
                leased = LeasedJob(self.context, job)
            self._place(leased)

    def _may_join(self) -> bool:
        if self.context.stop():
            return False
        if self._begun:
            return self.engine.may_join()
        # Trials of one cohort that are taken over may all stand at the same step within an epoch.
        return self.unplaced is None and len(self.engine.trainings) < self.engine.size

    def _close_source(self) -> None:
        self._source = None
        self.engine.shrink()

    def _place(self, leased: LeasedJob) -> None:
        """Give it a place in the engine; without one it is `unplaced`."""
        with self._ending_on_error(leased):
            if self._takes_place(leased):
                self.leased_jobs.append(leased)
                self._settle(leased)
                return
            self.unplaced = leased
            if self._begun:
                self._close_source()

    def _takes_place(self, leased: LeasedJob) -> bool:
        try:
            return self.engine.takes(leased.job.recipe) and leased.take_place(self.engine)
        except TrialFailedError:
            if self.engine.size == 1:
                raise
            return False  # trained alone, it fails if the fault is its own

    # Training.

    def _look(self) -> None:
        """End what may not go on, and save what is due."""
        for leased in list(self.leased_jobs):
            with self._ending_on_error(leased):
                leased.look()
                leased.save_what_is_due(among=len(self.leased_jobs))

    def _train(self) -> None:
        """Train on until the next look or validation, and judge what was validated."""
        if not self.leased_jobs:
            return
        try:
            with failures():
                if not self.engine.due():  # a validation that was not done before an interruption
                    self._advance()
                due = self.engine.due()
                rows = self.engine.validate(due, with_ema=wants_average) if due else []
        except TrialFailedError as failure:
            self._fail(failure)
            return
        by_training = {id(leased.training): leased for leased in self.leased_jobs}
        self._judge(
            [(by_training[id(training)], row) for training, row in zip(due, rows, strict=True)]
        )
        for leased in list(self.leased_jobs):
            self._settle(leased)

    def _judge(self, validated: Sequence[tuple[LeasedJob, Measurement]]) -> None:
        """Take the validations; of those at rungs, end what does not pass, or let it wait."""
        at_rungs = []
        for leased, row in validated:
            with self._ending_on_error(leased):
                arrival = leased.take(row)
                if arrival is not None:
                    at_rungs.append((leased, leased.saved_there(arrival)))
        if not at_rungs:
            return
        verdicts = pass_rungs(self.context, at_rungs)
        for (leased, arrival), verdict in zip(at_rungs, verdicts, strict=True):
            with self._ending_on_error(leased):
                told = leased.told(arrival, verdict)
                if told == Verdict.ENDS:
                    self._end(leased, TrialState.PRUNED)
                elif told == Verdict.WAITS:
                    self._remove(leased)

    def _advance(self) -> None:
        training, started = self.engine.trainings[0], time.monotonic()
        before, self._begun = training.step, True
        to_branch_points = (leased.steps_to_branch_point for leased in self.leased_jobs)
        self.engine.advance(min([self._steps, *filter(None, to_branch_points)]))
        share = LOOK_SECONDS / max(time.monotonic() - started, 1e-6)
        steps = int((training.step - before) * share)
        self._steps = max(1, min(self.engine.steps_per_look, steps))

    # Jobs that leave.

    @contextmanager
    def _ending_on_error(self, leased: LeasedJob) -> Iterator[None]:
        """Ends the job, or drops it, for what is raised inside on its account."""
        try:
            yield
        except LostTrialError as lost:
            self._drop(leased, lost)
        except StopTrial:
            self._end(leased, TrialState.PRUNED, "stopped by lrsearch trial stop")
        except ProcessKilledError as failure:
            self._give_back(leased, failure)
        except TrialFailedError as failure:
            self._end(leased, TrialState.FAILED, str(failure))

    def _settle(self, leased: LeasedJob) -> None:
        """End it if it has diverged, or is at its end."""
        training = leased.training
        assert training is not None
        if training.diverged is not None:
            self._end(leased, TrialState.DIVERGED, training.diverged)
        elif training.done and not training.is_due:
            self._end(leased, TrialState.COMPLETE, training.end_reason)

    def _end(self, leased: LeasedJob, state: TrialState, reason: str | None = None) -> None:
        try:
            leased.end(state, reason)
        except LostTrialError as lost:
            self._drop(leased, lost)
        else:
            self._remove(leased)

    def _drop(self, leased: LeasedJob, lost: LostTrialError) -> None:
        log.warning("%s; this worker drops it", lost)
        self._remove(leased)

    def _remove(self, leased: LeasedJob) -> None:
        leased.close()
        if leased in self.leased_jobs:
            self.leased_jobs.remove(leased)
        if leased.training is not None:
            self.engine.drop(leased.training)

    def _fail(self, failure: TrialFailedError) -> None:
        """End the trial whose code failed; release all where any of several may have failed.

        Raises CohortError then. Where a process was killed, all go on from their checkpoints.
        """
        if isinstance(failure, ProcessKilledError):
            for leased in list(self.leased_jobs):
                self._give_back(leased, failure)
            return
        if self.engine.size == 1:
            self._end(self.leased_jobs[0], TrialState.FAILED, str(failure))
            return
        self._leave()
        raise CohortError(why_failed(failure)) from failure

    def _give_back(self, leased: LeasedJob, failure: ProcessKilledError) -> None:
        """Let go of it as if its worker were lost: it goes on, unless it is lost too often."""
        leased.close()
        search, claim = self.context.search, leased.job.claim
        line = search.database.run(
            lambda connection: lose(connection, claim, str(failure), horizon=search.horizon_of)
        )
        log.warning("%s", line)
        self._remove(leased)

    def _leave(self) -> None:
        """Save and release everything, so that other workers take it over."""
        for leased in self.leased_jobs:
            leased.save()
        for name in release(self.context, self._all()):
            log.info("%s is saved, and released for other workers", name)
        self.leased_jobs, self._alone, self.unplaced = [], [], None

    def _take_out_the_last(self) -> None:
        """Take the last few trials out of the engine where they train faster one at a time."""
        if self.engine.size == 1 or not self.leased_jobs:
            return
        if self._source is None:
            self.engine.shrink()
        elif self.engine.may_join_later():
            return
        size, count = self.engine.size, len(self.leased_jobs)
        if not self.choice.is_faster_alone(count, size):
            return
        names = ", ".join(leased.job.name for leased in self.leased_jobs)
        log.info("the last trials of a cohort train one at a time, equal to rounding: %s", names)
        for leased in self.leased_jobs:
            leased.leave(self.engine)
        self._alone, self.leased_jobs = self.leased_jobs, []


def why_failed(failure: TrialFailedError) -> str:
    cause = failure.__cause__
    if isinstance(cause, CohortError):
        return str(cause)
    return "out of memory" if str(failure) == "oom" else str(failure)
