"""A search trial as a worker trains it: asked for, judged at rungs, told."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.trial_value import objective_value, signal
from lrsearch.storage.leases import Claim
from lrsearch.study.open_study import Arrival, Assignment, Outcome, Search
from lrsearch.training.training_run import Slot
from lrsearch.training.validation import Validation
from lrsearch.trial.states import TrialState
from lrsearch.worker.context import Desk
from lrsearch.worker.curve_buffer import Telemetry

log = logging.getLogger("lrsearch")


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """A trial of the search; see `seat.Job`."""

    search: Search
    assignment: Assignment
    has_curve = True

    @property
    def claim(self) -> Claim:
        return self.assignment.claim

    @property
    def recipe(self) -> Recipe:
        return self.assignment.recipe

    @property
    def deaths(self) -> int:
        return self.assignment.deaths

    @property
    def name(self) -> str:
        return f"trial {self.assignment.number}"

    def is_tested(self, row: Mapping[str, Any], rows: Telemetry, *, last: bool) -> bool:
        return False

    def arrival(self, row: Validation, rung: int, rows: Telemetry) -> Arrival:
        seen = asdict(row)
        value = objective_value(seen, self.search.spec)
        return Arrival(
            assignment=self.assignment,
            rung=rung,
            signal=signal(seen, self.search.spec),
            value=nan if value is None else value,
            validation=row.validation,
            rows=rows.pending(),
        )

    def end(
        self, slot: Slot | None, state: TrialState, reason: str | None, rows: list[dict[str, Any]]
    ) -> bool:
        done = self.search.tell(self.assignment, _outcome(slot, state, reason), rows)
        if done:
            because = f" ({reason})" if reason else ""
            log.info("%s %s%s: %s", self.name, state, because, self.recipe.title())
        return done


def _outcome(slot: Slot | None, state: TrialState, reason: str | None) -> Outcome:
    if slot is None:
        return Outcome(state=state, reason=reason, epochs=0, seconds=0, progress=0, start_loss=0)
    return Outcome(
        state=state,
        reason=reason,
        epochs=slot.epochs,
        seconds=slot.seconds,
        progress=slot.step / slot.plan.total_steps,
        start_loss=slot.start_loss,
    )


def next_trial(desk: Desk, known: Collection[Claim]) -> TrialJob | None:
    """Claim a trial beside those that the worker holds; None if the budget is used."""
    assignment = desk.search.ask(
        desk.keeper.worker,
        desk.cache.batch_size,
        desk.keeper.holding,
        known=known,
        alone=not known,
    )
    return None if assignment is None else TrialJob(search=desk.search, assignment=assignment)
