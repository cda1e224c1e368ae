"""What a study will cost at most."""

import sys
from dataclasses import dataclass

from lrsearch.confirmation.budget import (
    MOST_RUNS,
    allowed_runs,
    expected_trials,
    reserved_runs,
    search_epochs,
)
from lrsearch.range_test.plan import range_plan
from lrsearch.spec.study_spec import StudySpec


@dataclass(frozen=True, kw_only=True)
class CostPlan:
    """Epochs that a study trains at most; None where the budget sets no bound."""

    horizon: float
    trials: int | None
    #: About how many trials there will be; None where only time ends the search.
    expected_trials: int | None
    range_test: float
    #: Why no range test is planned; empty if one is.
    no_range_test: str
    #: Optimizers that the budget pays no range test for, though it does for others.
    untested: tuple[str, ...]
    search: float | None
    confirm_runs: int
    #: The budget's own bound on everything together.
    most_epochs: float | None
    #: The same in runs, where the budget is written so.
    runs: int | None

    @property
    def confirm(self) -> float:
        return self.confirm_runs * self.horizon

    @property
    def total(self) -> float | None:
        if self.search is None:
            return None
        parts = self.range_test + self.search + self.confirm
        return parts if self.most_epochs is None else min(parts, self.most_epochs)


def cost_plan(spec: StudySpec, steps_per_epoch: int) -> CostPlan:
    """The most that the study's budget allows."""
    horizon = spec.horizon_epochs(steps_per_epoch)
    budget, confirm = spec.budget, spec.confirm
    total = budget.most_epochs(horizon)
    bounds = []
    if budget.trials is not None:
        bounds.append(budget.trials * horizon)
    if total is not None:
        bounds.append(search_epochs(spec, horizon))
    runs = 0
    if confirm is not None:
        started = sys.maxsize if budget.trials is None else budget.trials
        most = allowed_runs(spec, started=started, epochs_left=total, horizon=horizon)
        runs = min(confirm.runs or MOST_RUNS, most)
        if budget.trials is None and budget.time is None:
            runs = reserved_runs(spec, horizon)  # search takes all that is not kept
    tests = range_plan(spec, steps_per_epoch)
    return CostPlan(
        horizon=horizon,
        trials=budget.trials,
        expected_trials=expected_trials(spec, horizon),
        range_test=tests.epochs,
        no_range_test=tests.skipped,
        untested=tests.untested,
        search=min(bounds) if bounds else None,
        confirm_runs=runs,
        most_epochs=None if total is None else total + tests.extra,
        runs=budget.runs,
    )
