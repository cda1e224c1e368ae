"""A study as workers use it: ask for a trial, report at rungs, tell how it ended."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property

from sqlalchemy import Connection

from lrsearch.errors import SpecError
from lrsearch.plain_data import Fields
from lrsearch.range_test.windows import sampler_windows
from lrsearch.space.search_space import BatchSize
from lrsearch.spec.distinct_recipes import distinct_recipes
from lrsearch.storage import claims, range_tests, studies, tickets, trials
from lrsearch.storage.database import Database
from lrsearch.storage.leases import Claim, Kind
from lrsearch.storage.postgresql import ANSWER_SECONDS
from lrsearch.storage.records import RangeTestRecord, StudyRecord, TrialRecord
from lrsearch.storage.tickets import Look
from lrsearch.study import lost_work
from lrsearch.study.assignment import Arrival, Assignment, LostTrialError, Outcome, Verdict
from lrsearch.study.deletion import delete_rows
from lrsearch.study.draw import Draw, Drawn, Linked
from lrsearch.study.end_trial import end_those_left, end_with_rows
from lrsearch.study.exhaustion import is_exhausted, mark_old_trials
from lrsearch.study.optuna import gate
from lrsearch.study.optuna.history import News, View
from lrsearch.study.optuna.sampler import Windows
from lrsearch.study.optuna.storage import OptunaStudy, OptunaTrial, load_study
from lrsearch.study.rung_decisions import pass_rungs
from lrsearch.study.standings import Standings
from lrsearch.study.stored_study import StoredStudy
from lrsearch.study.trial_start import link, start_trial
from lrsearch.trial.curve import Validation

__all__ = ["Arrival", "Assignment", "LostTrialError", "OpenStudy", "Outcome"]

#: What keeps the lease of a claim, described in words, for as long as it is open.
Holding = Callable[[Claim, str], AbstractContextManager[object]]


def _not_held(claim: Claim, doing: str) -> AbstractContextManager[object]:
    return nullcontext()


class OpenStudy(StoredStudy):
    """A study, opened: what workers ask, report and tell."""

    def __init__(self, database: Database, record: StudyRecord) -> None:
        super().__init__(database, record)
        #: Where range tests found learning rates that train, as far as they have ended.
        self.windows: Windows = {}
        #: Claims under which this process has pruned trials that waited.
        self.pruned: set[Claim] = set()
        self._range_tests_open = True
        self._sessions = len(database.sessions)
        minimize = self.spec.objective.direction == "minimize"
        reader = gate.history_reader(self.study_id, minimize=minimize, known=self.known)
        self._view = View(reader, minimize=minimize)
        self._standings = Standings(self.study_id)

    @cached_property
    def finite(self) -> Mapping[str, Fields] | None:
        """The recipes of its space by their fingerprints; None where they cannot be listed."""
        return distinct_recipes(self.spec)

    @cached_property
    def study(self) -> OptunaStudy:
        """Optuna's own view of the study, which reads all of it; workers do without."""
        return load_study(self.database, self.study_id)

    def ask(
        self,
        worker: str,
        batch_size: BatchSize,
        holding: Holding = _not_held,
        *,
        known: Collection[Claim] = (),
        alone: bool = True,
    ) -> Assignment | None:
        """Claim a trial: an orphan if there is one, else a new one.

        None if the budget is used, or every recipe of the space has its trial.

        `known` is what this worker holds already. Unless it is to train the trial `alone`, orphans
        that may be to blame for their workers' deaths are left to others. `batch_size` tells the
        task's own for given params. It is the user's code, and sampling takes a while: both are
        outside of any transaction, so that a process which is stopped in them holds nobody up, and
        inside of `holding`, which renews the lease meanwhile. A trial whose worker dies there is
        drawn by whoever takes it over.
        """
        self._look_first()
        while True:
            found = self.database.run(
                lambda connection: self._claim(connection, worker, alone=alone),
                recall=lambda connection: self._claimed_before(connection, worker, known),
            )
            if found is None:
                return None
            row, news = found
            self._view.take_in(news)
            self._standings.take_in()
            try:
                with holding(_claim_of(row), f"drawing trial {row.number}"):
                    assignment = self._begin(row, batch_size)
            except SpecError as error:
                lost_work.refuse(self, row, str(error))
                continue
            if assignment is not None:
                return assignment

    def _look_first(self) -> None:
        """What takes longest, before any transaction waits for it.

        Again after an outage: the database may have lost its last commits.
        """
        if not self._view.is_blank:
            if len(self.database.sessions) == self._sessions:
                return
            self._view.forget()
            self._standings.forget()
            self._range_tests_open = True
        self._view.take_in(self.database.look(self._view.read))
        self._sessions = len(self.database.sessions)
        mark_old_trials(self.database, self.study_id, self.spec)
        self.finite  # noqa: B018 - it is cached

    def _claim(
        self, connection: Connection, worker: str, *, alone: bool = True
    ) -> tuple[TrialRecord, News] | None:
        seen = tickets.look(connection, self.record)
        news = self._view.read(connection)  # first: from the ticket on the study's row is locked
        self._look_at_range_tests(connection)
        row = None
        if seen.free:
            below, lease = None if alone else lost_work.ALONE_FROM, self.spec.lease.seconds
            row = trials.take_over(connection, self.study_id, worker, lease, deaths_below=below)
        if row is None:
            row = self._next(connection, worker, seen)
        if row is None:
            return None
        if row.trial_id is None:
            if row.attempt > 1:  # an older version left a ticket without a trial
                studies.lock(connection, self.study_id)
            trial_id, number = gate.writer(connection).start_trial(self.study_id, row.ticket)
            number -= self.known
            row = replace(row, trial_id=trial_id, number=number)
            trials.attach(connection, _claim_of(row), trial_id=trial_id, number=number)
        return row, news

    def _next(self, connection: Connection, worker: str, seen: Look) -> TrialRecord | None:
        """Claim a new trial, or one that waits; once there is none any more, nothing waits."""
        planned = self.planned_for(connection, seen.epochs_total)
        has_new = not is_exhausted(connection, self)
        row = None
        if planned is not None:
            row = planned.claim(connection, worker, self._standings, has_new=has_new)
        elif has_new:
            if self.spec.ladder is not None:
                studies.hold(connection, self.study_id)  # so that the next stays the next
            # A ladder and an exhausted space start what waits by now, if it was seen or not.
            queued = seen.queued or self.spec.ladder is not None or self.finite is not None
            row = start_trial(connection, self, worker, queued=queued)
        if row is None and self.asks_for_plan:
            self.pruned.update(end_those_left(connection, self, planned))
        return row

    def _claimed_before(
        self, connection: Connection, worker: str, known: Collection[Claim]
    ) -> tuple[TrialRecord, News] | None:
        """What a transaction has claimed whose acknowledgement was lost."""
        row = claims.held_by(
            connection, Kind.TRIAL, TrialRecord, self.study_id, worker, known=known
        )
        return None if row is None else (row, self._view.read(connection))

    def claim_range_test(self, worker: str) -> RangeTestRecord | None:
        """Claim a range test that nobody trains, while the study may still start a trial."""
        if not self._range_tests_open:
            return None

        def claim(connection: Connection) -> RangeTestRecord | None:
            studies.require(connection, self.record)
            self._look_at_range_tests(connection)
            if not self._range_tests_open or not self.may_start(connection):
                return None
            return range_tests.claim(connection, self.study_id, worker, self.spec.lease.seconds)

        return self.database.run(
            claim,
            recall=lambda connection: claims.held_by(
                connection, Kind.RANGE_TEST, RangeTestRecord, self.study_id, worker
            ),
        )

    def _look_at_range_tests(self, connection: Connection) -> None:
        """Take over the windows that were found since, until all range tests have ended."""
        if not self._range_tests_open:
            return
        rows = range_tests.windows_so_far(connection, self.study_id)
        self._range_tests_open = any(row.open for row in rows)
        self.windows = sampler_windows(self.spec.space, [row.result for row in rows])

    def _begin(self, row: TrialRecord, batch_size: BatchSize) -> Assignment | None:
        """Draw a claimed trial's recipe and record it; None if the claim was lost meanwhile.

        A recipe that it has already stays as it is: given, or drawn by a worker before. One that is
        drawn is no other trial's. Raises SpecError if what the row has is none of this study's.
        """
        trial_id, number = row.trial_id, row.number
        assert trial_id is not None
        assert number is not None
        claim = _claim_of(row)
        draw = Draw(
            search=self, row=row, history=self._view.trials(but=trial_id), batch_size=batch_size
        )
        for drawn in draw.proposals():
            linked = self._link(claim, trial_id, drawn)
            if linked == Linked.REPEAT:
                continue
            if linked == Linked.LOST:
                return None
            return Assignment(
                claim=claim,
                trial_id=trial_id,
                number=number,
                kind=row.kind,
                drawn=drawn,
                deaths=row.deaths,
            )
        raise AssertionError("the last proposal may repeat another trial's recipe")

    def _link(self, claim: Claim, trial_id: int, drawn: Drawn) -> Linked:
        """Record what a trial trains, unless it may not repeat another trial's recipe and does."""
        return self.database.run(lambda connection: link(connection, self, claim, trial_id, drawn))

    def pass_rungs(self, arrivals: Sequence[Arrival]) -> list[Verdict]:
        """Record the signals of trials at rungs; once all are there, what becomes of each."""
        return self.database.run(lambda connection: pass_rungs(connection, self, arrivals))

    def tell(
        self,
        assignment: Assignment,
        outcome: Outcome,
        rows: Sequence[Validation] = (),
        *,
        taken: int | None = None,
    ) -> bool:
        """End a trial here and in Optuna; False if another worker has taken it over.

        `rows` are those of its curve that are not in the database yet, `taken` is as in `Arrival`:
        raises LostRowsError, and with it LostTrialError if the trial has to begin anew.
        """
        claim = assignment.claim
        told = self.database.run(
            lambda connection: end_with_rows(connection, self, assignment, outcome, rows, taken),
            recall=lambda connection: claims.has_ended(connection, claim) or None,
        )
        if told is None:
            raise LostTrialError(f"trial {assignment.number} begins anew: its curve has a gap")
        return told

    def reap(
        self, dead: Collection[str] = (), *, answer_seconds: float = ANSWER_SECONDS
    ) -> list[str]:
        """Free what workers have lost, and end what is to blame for it; a line for each.

        Lost is what was not renewed in time, and what workers that are known to be `dead` held.
        """
        return lost_work.reap_study(self, dead, answer_seconds=answer_seconds)

    def all_trials(self) -> list[OptunaTrial]:
        """Optuna's trials by number: those of other studies first, then this one's."""
        return self.study.get_trials(deepcopy=False)

    def delete(self) -> None:
        """Remove the study while workers may train it, see `deletion.delete_rows`."""
        delete_rows(self)


def _claim_of(row: TrialRecord) -> Claim:
    return Claim(id=row.id, attempt=row.attempt, worker=row.worker)
