"""A search that is planned: who waits at a rung, and who goes on, see `trial.halving`."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

from sqlalchemy import Connection

from lrsearch.advice.cost import portfolio_trials
from lrsearch.confirmation.budget import asks_for_plan, is_planned, portfolio_is_whole
from lrsearch.confirmation.search_plan import SearchPlan, search_plan
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import studies, trials, waiting
from lrsearch.storage.records import StudyRecord, TrialRecord
from lrsearch.storage.waiting import StandingRow
from lrsearch.study import portfolio
from lrsearch.study.assignment import Arrival, Verdict
from lrsearch.study.standings import Standings
from lrsearch.trial.halving import Place, Standing, accounts, best_waiting, next_stage
from lrsearch.trial.states import StudyState, TrialState

#: The kind of a trial that is never pruned.
BASELINE = "baseline"


@dataclass(frozen=True, kw_only=True)
class PlannedSearch:
    """A study's search by its plan, in transactions of the caller's."""

    study_id: int
    plan: SearchPlan
    #: Epochs of a full trial.
    horizon: float
    #: Seconds.
    lease: float
    #: Kinds of trials that are trained whole, beside the plan.
    beside: frozenset[str]

    @classmethod
    def of(cls, connection: Connection, row: StudyRecord, spec: StudySpec) -> Self | None:
        """None where rungs decide one by one. `spec` is the study's, whose budget may be older."""
        if not asks_for_plan(spec):
            return None
        if spec.budget.most_epochs(spec.horizon_epochs(row.steps_per_epoch)) != row.epochs_total:
            spec = StudySpec.from_stored(row.definition)
        horizon = spec.horizon_epochs(row.steps_per_epoch)
        if not is_planned(spec, horizon):
            return None
        is_whole = portfolio_is_whole(spec, horizon)
        plan = search_plan(
            spec,
            row.steps_per_epoch,
            range_test_epochs=waiting.range_test_epochs(connection, row.study_id),
            portfolio=portfolio_trials(spec, horizon) if is_whole else 0,
        )
        if plan is None:
            return None
        beside = {BASELINE} | ({portfolio.KIND} if is_whole else set())
        return cls(
            study_id=row.study_id,
            plan=plan,
            horizon=horizon,
            lease=spec.lease.seconds,
            beside=frozenset(beside),
        )

    def may_claim(self, connection: Connection) -> bool:
        """Whether a trial may be started now, or go on."""
        if not waiting.is_open(connection, self.study_id):
            return False
        found = waiting.standings(connection, self.study_id)
        has_new = waiting.has_new(connection, self.study_id)
        return self._next(connection, found, has_new) is not None

    def claim(
        self, connection: Connection, worker: str, standings: Standings, *, has_new: bool
    ) -> TrialRecord | None:
        """Start a trial or let one go on, as the plan says; None if neither may be done now.

        `has_new` is whether a recipe is left that has no trial. The study's row stays locked.
        """
        studies.hold(connection, self.study_id)
        if not waiting.is_open(connection, self.study_id):
            return None
        found = standings.read(connection)
        stage = self._next(connection, found, has_new)
        if stage is None:
            return None
        if stage == 0:
            return trials.start(
                connection, self.study_id, worker, self.lease, horizon=self.horizon, keep=None
            )
        best = best_waiting(self._runs(found), stage)
        trial = next(row.id for row in found if row.ticket == best.ticket)
        return waiting.go_on(connection, trial, worker, self.lease, horizon=self.horizon)

    def arrive(self, connection: Connection, arrival: Arrival) -> Verdict:
        """Let a trial wait at the rung where it has left its mark."""
        if arrival.assignment.kind in self.beside or arrival.rung not in self.plan.rungs:
            return Verdict.GOES_ON
        waiting.wait(
            connection,
            arrival.assignment.claim,
            epochs=arrival.epochs,
            seconds=arrival.seconds,
            horizon=self.horizon,
        )
        return Verdict.WAITS

    def _next(
        self, connection: Connection, found: Collection[StandingRow], has_new: bool
    ) -> int | None:
        """The stage whose next trial may be trained now; a new one beside the plan counts as 0."""
        queued = waiting.queued_kinds(connection, self.study_id)
        if queued and queued[0] in self.beside:
            return 0
        stages = self.plan.stages
        begun = accounts(stages, self._runs(found), has_new=has_new)
        left = waiting.range_tests_left(connection, self.study_id)
        return next_stage(stages, begun, beside=left + self._left_beside(found, queued))

    def _left_beside(self, found: Collection[StandingRow], queued: Sequence[str]) -> float:
        """Epochs that trials beside the plan have not needed so far."""
        rows = [row for row in found if row.kind in self.beside]
        needed = [row.epochs if _place(row.state) == Place.ENDED else self.horizon for row in rows]
        to_come = self.horizon * sum(kind in self.beside for kind in queued)
        return self.plan.beside * self.horizon - math.fsum(needed) - to_come

    def _runs(self, found: Collection[StandingRow]) -> list[Standing]:
        return [
            Standing(
                stage=self.plan.stage_after(row.rung),
                place=_place(row.state),
                epochs=row.epochs,
                signal=row.signal,
                ticket=row.ticket,
            )
            for row in found
            if row.kind not in self.beside
        ]


def _place(state: str) -> Place:
    known = {TrialState.RUNNING.value: Place.TRAINS, TrialState.WAITING.value: Place.WAITS}
    return known.get(state, Place.ENDED)


def those_left(
    connection: Connection, study_id: int, planned: PlannedSearch | None
) -> Sequence[tuple[int, str]]:
    """The trials that wait, by id, once none of them can go on any more; each with its worker."""
    left = waiting.those_that_wait(connection, study_id)
    if not left or waiting.trains(connection, study_id):
        return []
    row = studies.lock(connection, study_id)
    if row.state == StudyState.PAUSED or (planned is not None and planned.may_claim(connection)):
        return []
    return left
