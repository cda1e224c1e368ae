"""Runs on their way from the database to one tracker, in a thread of its own.

The database is what counts: a run is copied from it, so that a tracker which was away, or a worker
that takes a trial over, only has to add what is missing. Training never waits for a tracker.
"""

import logging
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from lrsearch.errors import StorageError, StudyError
from lrsearch.loggers.described import Row, end_of, points_of, run_of
from lrsearch.loggers.installed import tracker
from lrsearch.loggers.run import OpenRun, Run, Tracker
from lrsearch.storage import claims, curves, workers
from lrsearch.storage.database import Database, explained
from lrsearch.storage.leases import Claim, Kind
from lrsearch.storage.moments import passes
from lrsearch.storage.records import RangeTestRecord
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial.curve import Validation

log = logging.getLogger("lrsearch")

#: How often new points are looked for.
LOOK_SECONDS = 1.0
#: A tracker that does not take something is left alone for so long, twice as long each time.
REST_SECONDS, LONGEST_REST = 1.0, 60.0
#: A worker that ends waits so long for a tracker that takes nothing, and for one that is slow.
GIVE_UP_SECONDS, CLOSE_SECONDS = 15.0, 30.0
#: Of what is not whole so many are named, with so many characters of why.
SHOWN, SHOWN_WHY = 3, 300


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A run as the database has it at a moment."""

    run: Run
    row: Row
    #: What the tracker may lack.
    curve: Sequence[Validation]
    #: Whether its worker trains it no more.
    is_left: bool


class Copy:
    """One run, as far as a tracker has it."""

    def __init__(
        self, claim: Claim, name: str, rows: Callable[[], Sequence[Validation]], began: float
    ) -> None:
        """`name` is for people; `rows` gives the curve of a confirmation run, which the database
        does not hold, and `began` when it began, in seconds since 1970.
        """
        self.claim, self.name, self.rows, self.began = claim, name, rows, began
        #: Whether its worker trains it no more.
        self.is_left = False
        self._run: Run | None = None
        self._open: OpenRun | None = None
        self._sent = self._step = 0

    def look(self, study: StoredStudy, database: Database) -> "Seen":
        """What the database says of the run, all of one moment."""
        is_left = self.is_left  # before the look: what it then finds is the last
        after = 0 if self._open is None else self._sent
        with database.read() as connection:
            row = claims.by_id(connection, self.claim.kind, self.claim.id)
            assert not isinstance(row, RangeTestRecord)
            run = self._run or run_of(connection, study, row, self.began)
            curve: Sequence[Validation] = (
                curves.of_trial(connection, self.claim.id, after=after)
                if self.claim.kind == Kind.TRIAL
                else self.rows()
            )
        self._run = run
        return Seen(run=run, row=row, curve=curve, is_left=is_left)

    def send(self, seen: "Seen", tracker: Tracker) -> bool:
        """Send what is new; whether it is done with. Raises errors of the tracker's own."""
        if seen.row.attempt != self.claim.attempt:  # another worker has taken it over
            self._close()
            return True
        if self._open is None:
            self._open, self._sent, self._step = tracker.open(seen.run), 0, 0
        new = [one for one in seen.curve if one.validation > self._sent]
        self._open.write(points_of(new, seen.run.started_at))
        if new:
            self._sent, self._step = new[-1].validation, new[-1].step
        end = end_of(seen.row, self._step, seen.run.started_at) if seen.is_left else None
        if end is not None:
            self._open.end(end)
        elif seen.is_left:
            self._close()
        return seen.is_left

    def reopen(self) -> None:
        """Begin again with the tracker, which then says what it has."""
        self._open = None

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


class Copier:
    """The runs of one worker and one tracker. Its thread begins with the first run."""

    def __init__(self, study: StoredStudy, name: str) -> None:
        """`name` is the tracker's, one of `study.spec.log.trackers`."""
        self._study, self._name = study, name
        self._make = tracker(study.spec.log, name)
        self.where = study.spec.log.where(name)
        self._tracker: Tracker | None = None
        self._database = study.database.another()
        self._copies: dict[Claim, Copy] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        #: Why it does not take what it is given; None while it does.
        self._trouble: str | None = None
        self._failures = 0
        self._rest_until = self._worked_at = 0.0

    def begin(self, copy: Copy) -> None:
        """Copy this run from now on."""
        with self._lock:
            self._copies[copy.claim] = copy
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._live, name=f"lrsearch-{self._name}", daemon=True
            )
            self._thread.start()

    def finish(self, claim: Claim, curve: Sequence[Validation]) -> None:
        """Its worker trains it no more; `curve` is that of a confirmation run."""
        with self._lock:
            copy = self._copies.get(claim)
            if copy is not None:
                copy.rows = lambda: curve
                copy.is_left = True

    def hurry(self) -> None:
        """Nothing is trained any more: send what is left, and end."""
        with self._lock:
            for copy in self._copies.values():
                copy.is_left = True
        self._closing.set()

    def close(self) -> None:
        """Wait until that is done. A line in the log says what the tracker did not take."""
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
        with self._lock:
            copies = list(self._copies.values())
        if copies:
            why = self._trouble or f"it is slow: {CLOSE_SECONDS:g} s were not enough"
            names = ", ".join(copy.name for copy in copies[:SHOWN])
            more = f" and {len(copies) - SHOWN} more" if len(copies) > SHOWN else ""
            self._warn(
                copies[0],
                f"{self.where}: not whole there: {names}{more} ({why}); `lrsearch study log "
                f"{self._study.name}` sends what is missing, without the curves of confirmation "
                f"runs",
            )
        self._database.close()

    # The thread.

    def _live(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            if time.monotonic() >= self._rest_until:
                self._copy_all()
        began = time.monotonic()
        while self._copies and time.monotonic() - max(began, self._worked_at) < GIVE_UP_SECONDS:
            self._copy_all()
            if self._copies:
                time.sleep(LOOK_SECONDS)

    def _copy_all(self) -> None:
        with self._lock:
            copies = list(self._copies.values())
        for copy in copies:
            try:
                seen = copy.look(self._study, self._database)
            except Exception as error:
                if not passes(error):
                    self._failed(copy, error)
                else:  # the worker says so itself
                    self._trouble = "the study's database does not answer"
                return
            try:
                done = copy.send(seen, self._connected())
            except Exception as error:  # of any kind: no reason to stop training
                self._failed(copy, error)
                return
            self._works()
            if done:
                with self._lock:
                    self._copies.pop(copy.claim, None)

    def _connected(self) -> Tracker:
        if self._tracker is None:
            self._tracker = self._make()
        return self._tracker

    def _failed(self, copy: Copy, error: Exception) -> None:
        copy.reopen()
        self._rest_until = time.monotonic() + min(REST_SECONDS * 2**self._failures, LONGEST_REST)
        self._failures += 1
        with self._lock:  # the next time, the others come first
            if copy.claim in self._copies:
                self._copies[copy.claim] = self._copies.pop(copy.claim)
        self._trouble = in_short(error)
        if self._failures == 2:  # once is a tracker's own race, such as of two that make its tables
            self._warn(
                copy,
                f"{self.where}: {copy.name} cannot be logged ({self._trouble}); training goes on, "
                f"and what is missing is sent as soon as it can be",
            )

    def _warn(self, copy: Copy, line: str) -> None:
        """Into the log, and among what happened in the study, which `watch` and the report show."""
        log.warning("%s", line)
        study, worker = self._study.study_id, copy.claim.worker or ""
        # The log has it in any case.
        with suppress(StorageError, StudyError), explained(self._database):
            self._database.run(lambda connection: workers.note(connection, study, worker, line))

    def _works(self) -> None:
        if self._failures > 1:
            log.info("%s: takes points again", self.where)
        self._failures, self._trouble, self._worked_at = 0, None, time.monotonic()


def in_short(error: Exception) -> str:
    """The first line of an error: what follows is a statement or a stack of a server's own."""
    lines = str(error).strip().splitlines() or [""]
    text = f"{type(error).__name__}: {lines[0]}"
    return textwrap.shorten(text, SHOWN_WHY, placeholder=" ...")
