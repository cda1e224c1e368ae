"""A worker's second thread: renews its leases, writes its curve rows, frees what dead workers held.

It has a database connection of its own, so that neither thread waits for the other. Leases are
renewed only while training makes progress: a step that hangs loses them, as a dead process does.
Trials that a worker trains together make progress together.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection

from lrsearch.errors import StudyError
from lrsearch.storage import curves, leases, studies, workers
from lrsearch.storage.curves import LostRowsError
from lrsearch.storage.leases import Claim, Kind
from lrsearch.storage.moments import passes
from lrsearch.study.deletion import DeletedStudyError
from lrsearch.study.open_study import LostTrialError, OpenStudy
from lrsearch.worker.leases import interpreter_lock
from lrsearch.worker.leases.curve_buffer import CurveBuffer

T = TypeVar("T")

log = logging.getLogger("lrsearch")

#: Renewals in the time of a lease: two may fail.
RENEWALS = 3
#: Curve rows are written when so many are waiting or so many seconds have passed.
BATCH_ROWS, BATCH_SECONDS = 50, 2.0
#: A thread that waits for a silent database is not waited for any longer.
JOIN_SECONDS = 5.0
#: How often the thread looks at what is due.
TICK_SECONDS = 0.25
#: Of many trials so many are shown by number.
SHOWN = 3


class StopTrial(Exception):  # noqa: N818 - no error: it was asked for
    """`lrsearch trial stop` was asked for the trial in training."""


class HeldLease:
    """A claim whose lease is renewed until it is dropped."""

    def __init__(
        self, renewer: "LeaseRenewer", claim: Claim, doing: str, buffer: CurveBuffer | None
    ) -> None:
        self.renewer, self.claim, self.doing, self.buffer = renewer, claim, doing, buffer
        #: Whether the lease is gone; the end was asked for; training once hung.
        self.lost = self.stop = self.hung = False
        self.beats = -1
        self.progress = self.written = time.monotonic()

    def check(self) -> None:
        """Look at what the thread has found.

        Raises LostTrialError when the lease is gone, StopTrial when somebody asked for the trial's
        end, and whatever unexpected ended the thread.
        """
        self.renewer.check()
        if self.lost:
            raise LostTrialError(f"{self.doing} was taken over: its lease had ended")
        if self.stop and self.claim.kind == Kind.TRIAL:
            raise StopTrial


def together(doing: Sequence[str]) -> str | None:
    """What a worker does, in a few words; None if nothing."""
    numbers = [words.removeprefix("trial ") for words in doing if words.startswith("trial ")]
    if len(numbers) < 2:
        shown, first = doing[:1], " and ".join(doing[:1])
    else:
        shown, first = numbers[:SHOWN], f"trials {', '.join(numbers[:SHOWN])}"
    rest = len(doing) - len(shown)
    return f"{first} and {rest} more" if rest else first or None


class LeaseRenewer:
    """Renews, writes and frees in a thread while the worker trains; a context manager."""

    def __init__(self, search: OpenStudy, worker: str, device: str, version: str) -> None:
        self.worker, self.device, self.version = worker, device, version
        self.lease = search.spec.lease
        self.database = search.database.another()
        self._workers_study = search
        self._search: OpenStudy | None = None
        #: Replaced, never changed: both threads look at it.
        self._held: tuple[HeldLease, ...] = ()
        self._beats = 0
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        #: Since when this process and the database have been in touch without a gap, and when it
        #: last was: a process that was out of touch itself cannot tell which workers are dead.
        self._in_touch_since: float | None = None
        self._touched = self._stamp = 0.0
        self._reaped = 0.0

    def __enter__(self) -> "LeaseRenewer":
        self._start()
        return self

    def __exit__(self, *rest: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)
        self.database.close()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._live, name="lrsearch-leases", daemon=True)
        self._thread.start()

    # What the worker's own thread calls.

    def hold(self, claim: Claim, doing: str, buffer: CurveBuffer | None = None) -> HeldLease:
        """Renew this claim from now on, and write its curve rows, until it is dropped."""
        for other in self._held:
            # The database has lost the other's first commit, and given its number out again.
            other.lost = other.lost or other.claim == claim
        held = HeldLease(self, claim, doing, buffer)
        self._held = (*self._held, held)
        return held

    def drop(self, held: HeldLease) -> None:
        """Renew and write no more.

        A lease that was lost though nothing hung (the machine slept, the network was away) counts
        as no death.
        """
        if held not in self._held:
            return
        self._held = tuple(other for other in self._held if other is not held)
        if held.lost and not held.hung:
            self._workers_study.database.run(
                lambda connection: leases.take_back_death(connection, held.claim)
            )

    @contextmanager
    def holding(
        self, claim: Claim, doing: str, buffer: CurveBuffer | None = None
    ) -> Iterator[HeldLease]:
        """Renew this claim while the block runs, and write its curve rows."""
        held = self.hold(claim, doing, buffer)
        try:
            yield held
        finally:
            self.drop(held)

    def beat(self) -> None:
        """A batch was trained or validated."""
        self._beats += 1

    def check(self) -> None:
        """Raises whatever unexpected ended the thread."""
        if self._error is not None:
            raise self._error

    # The thread.

    def _live(self) -> None:
        try:
            while not self._ended.is_set():
                if interpreter_lock.wait(self._ended, TICK_SECONDS) > self._patience:
                    self._blame_step()
                try:
                    self._look()
                except Exception as error:
                    if not passes(error):
                        raise
                    self._in_touch_since = None
        except Exception as error:
            self._error = error

    def _blame_step(self) -> None:
        """A step has held the interpreter's lock: if that cost the lease, it is its fault."""
        for held in self._held:
            held.hung = True

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._touched >= self.lease.seconds / RENEWALS:
            self._renew(self._held, now)
        # Not before: a disk may have no room for rows, and enough for a renewal.
        for held in self._held:
            if held.buffer is not None:
                self._write(held, held.buffer, now)
        if self._may_reap(now):
            self._reap()

    @property
    def _patience(self) -> float:
        # After waiting for a silent server as long as a lease lasts, it could not be renewed.
        return self.lease.seconds / RENEWALS

    def _run(self, work: Callable[[Connection], T]) -> T:
        return self.database.run(work, answer_seconds=self._patience)

    def _write(self, held: HeldLease, buffer: CurveBuffer, now: float) -> None:
        waiting = len(buffer)
        due = waiting >= BATCH_ROWS or now - held.written >= BATCH_SECONDS
        if held.lost or not waiting or not due:
            return
        held.written = now
        rows = buffer.pending()
        if not rows:
            return  # a decision on the other thread has just taken them along
        try:
            written = self._run(lambda connection: curves.add(connection, held.claim, rows))
        except LostRowsError:
            return  # the worker's own thread does, at the next rung or checkpoint, or at the end
        if written:
            buffer.acknowledge(rows[-1].validation)
        else:
            held.lost = True

    def _renew(self, holds: Sequence[HeldLease], now: float) -> None:
        """Say that this worker lives, and hold on to what it trains if that gets on."""
        due = [held for held in holds if self._makes_progress(held, now) and not held.lost]
        claims = [held.claim for held in due]

        def renew(connection: Connection) -> tuple[float, dict[Claim, bool]]:
            doing = together([held.doing for held in holds])
            stamp = self._seen(connection, doing)
            if not claims:
                return stamp, {}
            return stamp, leases.renew(connection, claims, self.lease.seconds)

        try:
            stamp, stops = self._run(renew)
        except StudyError:
            raise DeletedStudyError(self._workers_study.name) from None
        for held in due:
            # A lease that ended with its trial, a moment ago, was not lost.
            held.lost = held.claim not in stops and held in self._held
            held.stop = stops.get(held.claim, False)
        # The database's clock goes on while this machine is suspended, its own may not.
        gap = max(now - self._touched, stamp - self._stamp)
        if gap > self.lease.seconds or self._in_touch_since is None:
            self._in_touch_since = time.monotonic()
        # From before the transaction: after a slow commit the lease is renewed again, not reaped.
        self._touched, self._stamp = now, stamp

    def _seen(self, connection: Connection, doing: str | None) -> float:
        study = self._workers_study
        stamp = workers.seen(connection, study.study_id, self.worker, doing)
        if stamp is None:  # the study is gone, or the database has lost this worker's first commit
            studies.require(connection, study.record)
            how = {"device": self.device, "version": self.version}
            workers.register(connection, study.study_id, self.worker, **how)
            stamp = workers.seen(connection, study.study_id, self.worker, doing)
            assert stamp is not None
        return stamp

    def _makes_progress(self, held: HeldLease, now: float) -> bool:
        # Waiting for the database is no hung step.
        beats = self._beats + self._workers_study.database.tries
        if beats != held.beats:
            held.beats, held.progress = beats, now
        hung = now - held.progress > self.lease.stall
        held.hung = held.hung or hung
        return not hung

    def _may_reap(self, now: float) -> bool:
        in_touch = self._in_touch_since
        if in_touch is None or now - in_touch < self.lease.seconds:
            return False
        return now - self._reaped >= self.lease.seconds / RENEWALS

    def _reap(self) -> None:
        self._reaped = time.monotonic()
        if self._search is None:
            study = self._workers_study.study_id
            row = self._run(lambda connection: studies.by_id(connection, study))
            if row is None:
                raise DeletedStudyError(self._workers_study.name)
            self._search = OpenStudy(self.database, row)
        for line in self._search.reap(answer_seconds=self._patience):
            log.warning("%s", line)
