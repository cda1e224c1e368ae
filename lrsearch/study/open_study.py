"""A study as workers use it: ask for a trial, report at rungs, tell how it ended."""

import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Any

import optuna
from sqlalchemy import Connection

from lrsearch.errors import SpecError
from lrsearch.range_test.plan import sampler_windows
from lrsearch.space.search_space import BatchSize
from lrsearch.storage import audited_trials, claims, curves, range_tests, studies, trials
from lrsearch.storage.column_types import one_line
from lrsearch.storage.database import Database
from lrsearch.storage.leases import Claim, Kind
from lrsearch.storage.postgresql import ANSWER_SECONDS
from lrsearch.storage.records import RangeTestRecord, StudyRecord, TrialRecord
from lrsearch.storage.rows import Row
from lrsearch.study import lost_work
from lrsearch.study.assignment import Arrival, Assignment, LostTrialError, Outcome
from lrsearch.study.optuna import rows as optuna_rows
from lrsearch.study.optuna.history import News, View
from lrsearch.study.optuna.sampler import WindowedTPESampler, Windows, new_trial
from lrsearch.study.optuna.storage import optuna_storage
from lrsearch.study.stored_study import StoredStudy
from lrsearch.study.trial_end import optunas_end, our_end
from lrsearch.trial import pruning_audit
from lrsearch.trial.pruning import survives

__all__ = ["Arrival", "Assignment", "LostTrialError", "OpenStudy", "Outcome"]

log = logging.getLogger("lrsearch")

#: What keeps the lease of a claim, described in words, for as long as it is open.
Holding = Callable[[Claim, str], AbstractContextManager[object]]


def _not_held(claim: Claim, doing: str) -> AbstractContextManager[object]:
    return nullcontext()


class OpenStudy(StoredStudy):
    """A study, opened: what workers ask, report and tell."""

    def __init__(self, database: Database, record: StudyRecord) -> None:
        super().__init__(database, record)
        #: Trials of other studies, which come first in Optuna and have no number here.
        self._known: int = self.origin["known"] if self.origin else 0
        #: Where range tests found learning rates that train, as far as they have ended.
        self.windows: Windows = {}
        self._range_tests_open = True
        minimize = self.spec.objective.direction == "minimize"
        self._view = View(self.study_id, minimize=minimize, known=self._known)

    @cached_property
    def study(self) -> optuna.Study:
        """Optuna's own view of the study, which reads all of it; workers do without."""
        storage = optuna_storage(self.database)
        name = storage.get_study_name_from_id(self.study_id)
        return optuna.load_study(study_name=name, storage=storage)

    def _sampler(self, ticket: int) -> optuna.samplers.BaseSampler:
        # Seeded by the ticket: a study resumed, or worked on by several, never draws twice the
        # same, and one worker draws the same study again.
        seed = (self.spec.seed * 1_000_003 + ticket) % 2**32
        return WindowedTPESampler(seed=seed, windows=self.windows)

    def ask(
        self,
        worker: str,
        batch_size: BatchSize,
        holding: Holding = _not_held,
        *,
        known: Collection[Claim] = (),
        alone: bool = True,
    ) -> Assignment | None:
        """Claim a trial: an orphan if there is one, else a new one; None if the budget is used.

        `known` is what this worker holds already. Unless it is to train the trial `alone`, orphans
        that may be to blame for their workers' deaths are left to others.

        `batch_size` tells the task's own for given params. It is the user's code, and sampling
        takes a while: both are outside of any transaction, so that a process which is stopped in
        them holds nobody up, and inside of `holding`, which renews the lease meanwhile. A trial
        whose worker dies there is drawn by whoever takes it over.
        """
        if self._view.is_blank:
            self._view.take_in(self.database.look(self._view.read))
        while True:
            found = self.database.run(
                lambda connection: self._claim(connection, worker, alone=alone),
                recall=lambda connection: self._claimed_before(connection, worker, known),
            )
            if found is None:
                return None
            row, news = found
            self._view.take_in(news)
            try:
                with holding(_claim_of(row), f"drawing trial {row['number']}"):
                    assignment = self._begin(row, batch_size)
            except SpecError as error:
                self._refuse(row, str(error))
                continue
            if assignment is not None:
                return assignment

    def _refuse(self, row: Row, reason: str) -> None:
        """End a claimed trial whose row gives nothing that could be trained."""
        log.warning("trial %d failed: %s", row["number"], one_line(reason))
        self.database.run(
            lambda connection: lost_work.fail_trial(connection, row, self.horizon, reason)
        )

    def _claim(
        self, connection: Connection, worker: str, *, alone: bool = True
    ) -> tuple[Row, News] | None:
        news = self._view.read(connection)  # first: from the ticket on the study's row is locked
        study, lease = self.study_id, self.spec.lease.seconds
        below = None if alone else lost_work.ALONE_FROM
        row = trials.take_over(connection, study, worker, lease, deaths_below=below)
        if row is None:
            row = trials.start(
                connection, study, worker, lease, horizon=self.horizon, keep=self.reserved_share
            )
        if row is None:
            return None
        if row["trial_id"] is None:
            if row["attempt"] > 1:  # an older version left a ticket without a trial
                studies.lock(connection, self.study_id)
            trial_id, number = optuna_rows.start_trial(connection, self.study_id, row["ticket"])
            row = replace(row, trial_id=trial_id, number=number - self._known)
            trials.attach(connection, _claim_of(row), trial_id=trial_id, number=row["number"])
        self._look_at_range_tests(connection)
        return row, news

    def _claimed_before(
        self, connection: Connection, worker: str, known: Collection[Claim]
    ) -> tuple[Row, News] | None:
        """What a transaction has claimed whose acknowledgement was lost."""
        row = claims.held_by(
            connection, Kind.TRIAL, TrialRecord, self.study_id, worker, known=known
        )
        return None if row is None else (row, self._view.read(connection))

    def claim_range_test(self, worker: str) -> Row | None:
        """Claim a range test that nobody trains, while the study may still start a trial."""
        if not self._range_tests_open:
            return None

        def claim(connection: Connection) -> Row | None:
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
        self._range_tests_open = any(row["open"] for row in rows)
        self.windows = sampler_windows(self.spec.space, [row["result"] for row in rows])

    def _begin(self, row: Row, batch_size: BatchSize) -> Assignment | None:
        """Draw a claimed trial's recipe and record it; None if the claim was lost meanwhile.

        A recipe that it has already stays as it is: given, or drawn by a worker before. Raises
        SpecError if what the row has is none of this study's.
        """
        claim, given, fixed = _claim_of(row), row["recipe"], None
        if given is not None:
            given = self.spec.recipe(given, batch_size=None).to_dict()
            own = given.get("batch_size") or batch_size(given["params"])
            fixed = self.spec.space.params_of(given, own)
        trial = new_trial(
            self._view.trials(but=row["trial_id"]),
            self._sampler(row["ticket"]),
            direction=self.spec.objective.direction,
            fixed=fixed,
        )
        if given is None or fixed is not None:
            accumulate = self.spec.accumulate
            sampled = self.spec.space.suggest(trial, batch_size, accumulate=accumulate)
        fields = sampled if given is None else given
        size = fields.get("batch_size") or batch_size(fields["params"])
        recipe = self.spec.recipe(fields, batch_size=size)

        def link(connection: Connection) -> bool:
            if not trials.link(connection, claim, recipe.to_dict()):
                return False
            params, distributions = trial.params, trial.distributions
            optuna_rows.add_params(connection, row["trial_id"], params, distributions)
            return True

        if not self.database.run(link):
            return None
        return Assignment(
            claim=claim,
            trial_id=row["trial_id"],
            number=row["number"],
            kind=row["kind"],
            recipe=recipe,
            deaths=row["deaths"],
        )

    def pass_rungs(self, arrivals: Sequence[Arrival]) -> list[bool | None]:
        """Record the signals of trials at rungs, then decide of each whether it goes on.

        Those of one call are all there when the first is judged. None: its claim is lost. A
        baseline always goes on.
        """

        def decide(connection: Connection) -> list[bool | None]:
            held = [self._mark(connection, arrival) for arrival in arrivals]
            return [
                self._goes_on(connection, arrival) if is_held else None
                for arrival, is_held in zip(arrivals, held, strict=True)
            ]

        return self.database.run(decide)

    def _mark(self, connection: Connection, arrival: Arrival) -> bool:
        """Record that it is at its rung; False if its claim is lost."""
        claim, value = arrival.assignment.claim, arrival.value
        if not curves.add(connection, claim, arrival.rows):
            return False
        if not trials.mark_rung(connection, self.study_id, claim, arrival.rung, arrival.signal):
            return False
        if math.isfinite(value):
            trial = arrival.assignment.trial_id
            optuna_rows.report(connection, trial, arrival.validation, value)
        return True

    def _goes_on(self, connection: Connection, arrival: Arrival) -> bool:
        """Whether it goes on, among all that are at its rung by now."""
        pruning, trial = self.spec.pruning, arrival.assignment.claim.id
        assert pruning is not None
        # What was decided stands: its marks beyond would be those of a trial that ended here.
        if arrival.assignment.kind == "baseline" or trials.went_past(
            connection, trial, arrival.rung
        ):
            return True
        peers = trials.peers(connection, self.study_id, trial, arrival.rung)
        passes = survives(
            better=peers.better,
            others=peers.others,
            eta=pruning.eta,
            min_peers=pruning.min_peers,
        )
        return passes or self._audits(connection, arrival, pruning.audit)

    def _audits(self, connection: Connection, arrival: Arrival, share: float) -> bool:
        """Whether a trial that would be stopped is audited: from here on every rung lets it by."""
        trial = arrival.assignment.claim.id
        ticket, total = audited_trials.count_of(connection, trial)
        planned = pruning_audit.planned_trials(total, ticket)
        if not pruning_audit.is_audited(
            seed=self.spec.seed, ticket=ticket, planned=planned, share=share
        ):
            return False
        audited_trials.begin(connection, trial, arrival.rung, arrival.validation)
        return True

    def tell(
        self, assignment: Assignment, outcome: Outcome, rows: Sequence[Mapping[str, Any]] = ()
    ) -> bool:
        """End a trial here and in Optuna; False if another worker has taken it over.

        `rows` are those of its curve that are not in the database yet.
        """
        claim = assignment.claim

        def end(connection: Connection) -> bool:
            if not curves.add(connection, claim, rows):
                return False
            values = our_end(outcome, curves.of_trial(connection, claim.id), self.spec)
            if not trials.record(connection, claim, horizon=self.horizon, values=values):
                return False
            state, rest = optunas_end(outcome, values["value"], self.spec.objective)
            optuna_rows.end_trial(connection, assignment.trial_id, state, **rest)
            return True

        return self.database.run(
            end, recall=lambda connection: claims.has_ended(connection, claim) or None
        )

    def reap(
        self, dead: Collection[str] = (), *, answer_seconds: float = ANSWER_SECONDS
    ) -> list[str]:
        """Free what workers have lost, and end what is to blame for it; a line for each.

        Lost is what was not renewed in time, and what workers that are known to be `dead` held.
        """
        return lost_work.reap_study(self, dead, answer_seconds=answer_seconds)

    def all_trials(self) -> list[optuna.trial.FrozenTrial]:
        """Optuna's trials by number: those of other studies first, then this one's."""
        return self.study.get_trials(deepcopy=False)

    def delete(self) -> None:
        """Remove the study from Optuna's tables; our rows refer to theirs and go with them."""
        with self.database.begin() as connection:
            optuna_rows.delete_study(connection, self.study_id)


def _claim_of(row: Row) -> Claim:
    return Claim(id=row["id"], attempt=row["attempt"], worker=row["worker"])
