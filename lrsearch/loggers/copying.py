"""Runs on their way from the database to one tracker, in a thread of its own.

The database is what counts: a run is copied from it, so that a tracker which was away, or a worker
that takes a trial over, only has to add what is missing. Training never waits for a tracker.
"""

import logging
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lrsearch.errors import describe
from lrsearch.loggers.described import Row, end_of, points_of, run_of
from lrsearch.loggers.installed import tracker
from lrsearch.loggers.run import OpenRun, Run, Tracker
from lrsearch.storage import claims, curves
from lrsearch.storage.database import Database
from lrsearch.storage.leases import Claim, Kind
from lrsearch.storage.outages import passes
from lrsearch.storage.records import RangeTestRecord
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial.curve import Validation

log = logging.getLogger("lrsearch")

#: How often new points are looked for.
LOOK_SECONDS = 1.0
#: A tracker that has refused something is left alone for so long.
REST_SECONDS = 15.0
#: A worker that ends waits so long for a tracker that does not answer.
CLOSE_SECONDS = 60.0
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
        self, claim: Claim, rows: Callable[[], Sequence[Validation]], began: float
    ) -> None:
        """`rows` gives the curve of a confirmation run, which the database does not hold."""
        self.claim, self.rows, self.began = claim, rows, began
        #: Whether its worker trains it no more.
        self.is_left = False
        self.name = f"{claim.kind} with id {claim.id}"
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
        self._run, self.name = run, run.name
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
        self.where = f"log.{name} = {getattr(study.spec.log, name)!r}"
        self._tracker: Tracker | None = None
        self._database = Database(study.database.location)
        self._copies: dict[Claim, Copy] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        #: Why it does not take what it is given; None while it does.
        self._trouble: str | None = None
        self._rest_until = 0.0

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

    def close(self) -> None:
        """Send what is left. A line in the log says what the tracker did not take."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
        with self._lock:
            names = [copy.name for copy in self._copies.values()]
        if names:
            why = self._trouble or f"it has not answered for {CLOSE_SECONDS:g} s"
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            log.warning(
                "%s: not whole there: %s%s (%s)", self.where, ", ".join(names[:SHOWN]), more, why
            )
        self._database.close()

    # The thread.

    def _live(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            if time.monotonic() >= self._rest_until:
                self._copy_all()
        self._copy_all()

    def _copy_all(self) -> None:
        with self._lock:
            copies = list(self._copies.values())
        for copy in copies:
            try:
                seen = copy.look(self._study, self._database)
            except Exception as error:
                if not passes(error):  # the worker says itself that the database is away
                    self._failed(copy, error)
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
            self._tracker = tracker(self._study.spec.log, self._name)
        return self._tracker

    def _failed(self, copy: Copy, error: Exception) -> None:
        copy.reopen()
        self._rest_until = time.monotonic() + REST_SECONDS
        with self._lock:  # the next time, the others come first
            if copy.claim in self._copies:
                self._copies[copy.claim] = self._copies.pop(copy.claim)
        if self._trouble is None:
            self._trouble = textwrap.shorten(describe(error), SHOWN_WHY, placeholder=" ...")
            log.warning(
                "%s: %s cannot be logged (%s); training goes on, and what is missing is sent as "
                "soon as it can be",
                self.where,
                copy.name,
                self._trouble,
            )

    def _works(self) -> None:
        if self._trouble is not None:
            log.info("%s: takes points again", self.where)
        self._trouble = None
