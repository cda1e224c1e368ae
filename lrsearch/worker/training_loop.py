"""The loop of a worker: an engine's places are filled, trained, watched and freed.

One trial at a time is an engine of one place; there is no other loop.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from lrsearch.fusing.choice import Choice
from lrsearch.storage.leases import Claim
from lrsearch.study.open_study import LostTrialError
from lrsearch.training.engine import CohortError, Engine
from lrsearch.training.failures import TrialFailedError, failures
from lrsearch.training.training_run import Slot
from lrsearch.training.validation import Validation
from lrsearch.trial.states import TrialState
from lrsearch.worker.context import Desk
from lrsearch.worker.job import Job
from lrsearch.worker.lease_renewal import StopTrial
from lrsearch.worker.leased_job import Seat, release

log = logging.getLogger("lrsearch")

#: Most steps trained between looks at whether the worker is to stop, and about how long they take:
#: a preempted worker has let go of its trials soon after.
STEPS_PER_LOOK, LOOK_SECONDS = 16, 0.5

#: The next job beside those that the worker holds already; None if there is none.
Source = Callable[[Desk, Collection[Claim]], Job | None]


class Shift:
    """One engine at work until all its places are free, or until the worker is to stop."""

    def __init__(self, desk: Desk, engine: Engine, source: Source | None, choice: Choice) -> None:
        self.desk, self.engine, self.choice = desk, engine, choice
        #: None: nobody joins any more.
        self._source = source
        self.seats: list[Seat] = []
        #: Claimed, and not taken by the engine. If that was before the first step, it is tried once
        #: more where an epoch ends; nobody else is asked for meanwhile.
        self.parked: Seat | None = None
        #: Taken out of the engine, to be trained one after the other.
        self._alone: list[Seat] = []
        self._begun = False
        self._steps = STEPS_PER_LOOK

    def run(self, first: Seat) -> list[Seat]:
        """Train `first` and whoever joins; who is to be trained alone next, still held.

        Raises CohortError when this engine cannot go on. Then, and when the worker is to stop,
        everything is let go of, with a checkpoint.
        """
        with ExitStack() as stack:
            stack.callback(self._close)
            self._place(first)
            while self.seats and not self.desk.stop():
                self._join()
                self._look()
                self._train()
                self._disperse()
            if self.desk.stop():
                self._leave()
            alone, self._alone, self.parked = self._all(), [], None
        return alone

    def _close(self) -> None:
        """Renew nothing any more that is still held, whatever ended the shift."""
        with ExitStack() as stack:
            for seat in self._all():
                stack.callback(seat.close)

    def _all(self) -> list[Seat]:
        return [*self.seats, *self._alone, *([] if self.parked is None else [self.parked])]

    # Who joins.

    def _join(self) -> None:
        """Fill the free places if this is the moment."""
        while self._source is not None and self._may_join():
            seat, self.parked = self.parked, None
            if seat is None:
                job = self._source(self.desk, [seat.job.claim for seat in self.seats])
                if job is None:
                    self._close_source()
                    return
                seat = Seat(self.desk, job)
            self._place(seat)

    def _may_join(self) -> bool:
        if self.desk.stop():
            return False
        if self._begun:
            return self.engine.may_join()
        # Orphans of one cohort may all stand at the same step within an epoch.
        return self.parked is None and len(self.engine.slots) < self.engine.size

    def _close_source(self) -> None:
        self._source = None
        self.engine.shrink()

    def _place(self, seat: Seat) -> None:
        """Give it a place, or park it."""
        with self._minding(seat):
            if self._sits(seat):
                self.seats.append(seat)
                self._settle(seat)
                return
            self.parked = seat
            if self._begun:
                self._close_source()

    def _sits(self, seat: Seat) -> bool:
        try:
            return self.engine.takes(seat.job.recipe) and seat.sit(self.engine)
        except TrialFailedError:
            if self.engine.size == 1:
                raise
            return False  # alone it will be seen whose fault that was

    # Training.

    def _look(self) -> None:
        """End what may not go on, and save what is due."""
        for seat in list(self.seats):
            with self._minding(seat):
                seat.look()
                if seat.is_due_for_saving(among=len(self.seats)):
                    seat.save()

    def _train(self) -> None:
        """Train on until the next look or validation, and judge what was validated."""
        if not self.seats:
            return
        try:
            with failures():
                if not self.engine.due():  # a validation that was not done before an interruption
                    self._advance()
                due = self.engine.due()
                rows = self.engine.validate(due, with_ema=_wants_ema) if due else []
        except TrialFailedError as failure:
            self._fail(failure)
            return
        by_slot = {id(seat.slot): seat for seat in self.seats}
        self._judge([(by_slot[id(slot)], row) for slot, row in zip(due, rows, strict=True)])
        for seat in list(self.seats):
            self._settle(seat)

    def _judge(self, validated: Sequence[tuple[Seat, Validation]]) -> None:
        """Take the validations; of those at rungs, end what does not pass."""
        at_rungs = []
        for seat, row in validated:
            with self._minding(seat):
                arrival = seat.take(row)
                if arrival is not None:
                    at_rungs.append((seat, arrival))
        if not at_rungs:
            return
        verdicts = self.desk.search.pass_rungs([arrival for _, arrival in at_rungs])
        for (seat, arrival), verdict in zip(at_rungs, verdicts, strict=True):
            with self._minding(seat):
                if not seat.passes(arrival, verdict):
                    self._end(seat, TrialState.PRUNED)

    def _advance(self) -> None:
        slot, started = self.engine.slots[0], time.monotonic()
        before, self._begun = slot.step, True
        self.engine.advance(self._steps)
        share = LOOK_SECONDS / max(time.monotonic() - started, 1e-6)
        self._steps = max(1, min(STEPS_PER_LOOK, int((slot.step - before) * share)))

    # Who goes.

    @contextmanager
    def _minding(self, seat: Seat) -> Iterator[None]:
        """Ends the seat for what is raised on its account."""
        try:
            yield
        except LostTrialError as lost:
            self._drop(seat, lost)
        except StopTrial:
            self._end(seat, TrialState.PRUNED, "stopped by lrsearch trial stop")
        except TrialFailedError as failure:
            self._end(seat, TrialState.FAILED, str(failure))

    def _settle(self, seat: Seat) -> None:
        """End it if it has diverged, or is at its end."""
        slot = seat.slot
        assert slot is not None
        if slot.diverged is not None:
            self._end(seat, TrialState.DIVERGED, slot.diverged)
        elif slot.done and not slot.is_due:
            self._end(seat, TrialState.COMPLETE)

    def _end(self, seat: Seat, state: TrialState, reason: str | None = None) -> None:
        try:
            seat.end(state, reason)
        except LostTrialError as lost:
            self._drop(seat, lost)
        else:
            self._remove(seat)

    def _drop(self, seat: Seat, lost: LostTrialError) -> None:
        log.warning("%s; dropped", lost)
        self._remove(seat)

    def _remove(self, seat: Seat) -> None:
        seat.close()
        if seat in self.seats:
            self.seats.remove(seat)
        if seat.slot is not None:
            self.engine.drop(seat.slot)

    def _fail(self, failure: TrialFailedError) -> None:
        """End the trial whose code failed; where it may be anyone's, let go of all."""
        if self.engine.size == 1:
            self._end(self.seats[0], TrialState.FAILED, str(failure))
            return
        self._leave()
        raise CohortError(_reason(failure)) from failure

    def _leave(self) -> None:
        """Let go of everything, with a checkpoint."""
        for seat in self.seats:
            seat.save()
        for name in release(self.desk, self._all()):
            log.info("%s released at a checkpoint", name)
        self.seats, self._alone, self.parked = [], [], None

    def _disperse(self) -> None:
        """Take the last few out, where one after the other is faster than a program half empty."""
        if self.engine.size == 1 or not self.seats:
            return
        if self._source is None:
            self.engine.shrink()
        elif self.engine.may_join_later():
            return
        size, count = self.engine.size, len(self.seats)
        if not self.choice.is_faster_alone(count, size):
            return
        names = ", ".join(seat.job.name for seat in self.seats)
        log.info("the last of a cohort go on one by one, equal to rounding: %s", names)
        for seat in self.seats:
            seat.leave(self.engine)
        self._alone, self.seats = self.seats, []


def _wants_ema(slot: Slot) -> bool:
    """Whether averaged weights are validated too: at rungs and at the end."""
    number = slot.validated + 1
    return number == len(slot.plan.validations) or number in slot.plan.rungs


def _reason(failure: TrialFailedError) -> str:
    cause = failure.__cause__
    if isinstance(cause, CohortError):
        return str(cause)
    return "out of memory" if str(failure) == "oom" else str(failure)
