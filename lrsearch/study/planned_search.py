"""A search that is planned: who waits at a rung, and who goes on, see `trial.halving`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from sqlalchemy import Connection

from lrsearch.confirmation.search_plan import SearchPlan, search_plan
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import curves, rungs, studies, trials, waiting
from lrsearch.storage.records import StudyRecord, TrialRecord
from lrsearch.storage.waiting import StandingRow
from lrsearch.study.assignment import Arrival, Verdict
from lrsearch.trial.halving import Place, Standing, accounts, best_waiting, next_stage
from lrsearch.trial.states import StudyState, TrialState

#: The kind of a trial that is trained whole, outside of the plan.
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

    @classmethod
    def of(cls, connection: Connection, row: StudyRecord, spec: StudySpec) -> Self | None:
        """None where rungs decide one by one. `spec` is the study's, whose budget may be older."""
        if not asks_for_plan(spec):
            return None
        if spec.budget.most_epochs(spec.horizon_epochs(row.steps_per_epoch)) != row.epochs_total:
            spec = StudySpec.from_stored(row.definition)
        given = waiting.range_test_epochs(connection, row.study_id)
        plan = search_plan(spec, row.steps_per_epoch, range_test_epochs=given)
        if plan is None:
            return None
        horizon = spec.horizon_epochs(row.steps_per_epoch)
        return cls(study_id=row.study_id, plan=plan, horizon=horizon, lease=spec.lease.seconds)

    def may_claim(self, connection: Connection) -> bool:
        """Whether a trial may be started now, or go on."""
        if not waiting.is_open(connection, self.study_id):
            return False
        has_new = waiting.has_new(connection, self.study_id)
        return self._next(waiting.standings(connection, self.study_id), has_new) is not None

    def claim(self, connection: Connection, worker: str, *, has_new: bool) -> TrialRecord | None:
        """Start a trial or let one go on, as the plan says; None if neither may be done now.

        `has_new` is whether a recipe is left that has no trial. The study's row stays locked.
        """
        studies.lock(connection, self.study_id)
        if not waiting.is_open(connection, self.study_id):
            return None
        found = waiting.standings(connection, self.study_id)
        stage = self._next(found, has_new)
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
        if arrival.assignment.kind == BASELINE or arrival.rung not in self.plan.rungs:
            return Verdict.GOES_ON
        claim = arrival.assignment.claim
        last = curves.of_trial(connection, claim.id)[-1]
        waiting.wait(
            connection, claim, epochs=last.epoch, seconds=last.seconds, horizon=self.horizon
        )
        return Verdict.WAITS

    def _next(self, found: Sequence[StandingRow], has_new: bool) -> int | None:
        stages = self.plan.stages
        return next_stage(stages, accounts(stages, self._runs(found), has_new=has_new))

    def _runs(self, found: Sequence[StandingRow]) -> list[Standing]:
        return [
            Standing(
                stage=self.plan.stage_after(row.rung),
                place=_place(row.state),
                epochs=row.epochs,
                signal=row.signal,
                ticket=row.ticket,
            )
            for row in found
            if row.kind != BASELINE
        ]


def asks_for_plan(spec: StudySpec) -> bool:
    """Whether a study file asks for a plan, though its budget may be too small for one."""
    return spec.pruning is not None and spec.pruning.rule == "planned"


def _place(state: str) -> Place:
    known = {TrialState.RUNNING.value: Place.TRAINS, TrialState.WAITING.value: Place.WAITS}
    return known.get(state, Place.ENDED)


def has_waited(connection: Connection, arrival: Arrival) -> bool:
    """Whether it waited at this rung or a later one before: it was begun anew since then.

    So where its checkpoint is gone, or could not be made.
    """
    return rungs.went_past(connection, arrival.assignment.claim.id, arrival.rung - 1)


def those_left(
    connection: Connection, study_id: int, planned: PlannedSearch | None
) -> Sequence[int]:
    """The trials that wait, by id, once none of them can go on any more."""
    found = waiting.standings(connection, study_id)
    left = [row.id for row in found if row.state == TrialState.WAITING]
    if not left or any(row.state == TrialState.RUNNING for row in found):
        return []
    row = studies.lock(connection, study_id)
    if row.state == StudyState.PAUSED or (planned is not None and planned.may_claim(connection)):
        return []
    return left
