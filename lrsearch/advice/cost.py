"""What a study will cost at most."""

import math
import sys
from dataclasses import dataclass

from lrsearch.confirmation.budget import (
    MOST_RUNS,
    allowed_runs,
    expected_course,
    missed_plan,
    portfolio_is_whole,
    portfolio_runs,
    reserved_runs,
    search_epochs,
)
from lrsearch.confirmation.search_plan import SearchPlan, planned_course, search_plan
from lrsearch.range_test.plan import range_plan
from lrsearch.space.portfolio.adapt import portfolio_recipes
from lrsearch.spec.portfolio_field import entries
from lrsearch.spec.study_spec import StudySpec
from lrsearch.trial.expected_trials import Course


@dataclass(frozen=True, kw_only=True)
class CostPlan:
    """Epochs that a study trains at most; None where the budget sets no bound."""

    horizon: float
    trials: int | None
    #: How the search is expected to go; None where only time ends it.
    course: Course | None
    #: Rungs that the course counts, as fractions of a run.
    rungs: tuple[float, ...]
    #: The user's own recipes, which come first, and then the portfolio's, as many as there may be.
    own: int
    portfolio: int
    #: Whether the portfolio's are trained to their end, whatever the rungs say.
    whole: bool
    range_test: float
    #: Whether that comes on top of the budget.
    beside: bool
    #: Why no range test is planned; empty if one is.
    no_range_test: str
    #: Optimizers that the budget pays no range test for, though it does for others.
    untested: tuple[str, ...]
    search: float | None
    confirm_runs: int
    #: Recipes that the confirmation compares, where the study file says it.
    candidates: int | None
    #: The budget's own bound on everything together.
    most_epochs: float | None
    #: The same in runs, where the budget is written so.
    runs: int | None
    #: The search's stages, where trials wait at rungs; None where rungs decide one by one.
    planned: SearchPlan | None
    #: Why there are none, where the study file asks for them; else empty.
    unplanned: str

    @property
    def expected_trials(self) -> int | None:
        """About how many trials there will be; None where only time ends the search."""
        return None if self.course is None else self.course.trials

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
    tests = range_plan(spec, steps_per_epoch)
    beside = tests.extra > 0
    inside, portfolio = 0.0 if beside else tests.epochs, portfolio_trials(spec, horizon)
    own, rungs = len(spec.given_recipes()), () if spec.pruning is None else spec.pruning.rungs
    course = expected_course(spec, horizon, portfolio=portfolio, range_test=inside)
    planned = search_plan(
        spec, steps_per_epoch, range_test_epochs=tests.epochs, portfolio=portfolio
    )
    if planned is not None:
        course = planned_course(planned, first=own + portfolio)
        rungs = tuple(end / horizon for end in planned.ends[:-1])
    return CostPlan(
        horizon=horizon,
        trials=budget.trials,
        course=course,
        rungs=tuple(rungs),
        own=own,
        portfolio=portfolio,
        whole=portfolio_is_whole(spec, horizon),
        range_test=tests.epochs,
        beside=beside,
        no_range_test=tests.skipped,
        untested=tests.untested,
        search=_most_searched(spec, horizon),
        confirm_runs=_confirm_runs(spec, horizon),
        candidates=None if confirm is None else confirm.candidates,
        most_epochs=None if total is None else total + tests.extra,
        runs=budget.runs,
        planned=planned,
        unplanned=missed_plan(spec, horizon),
    )


def _most_searched(spec: StudySpec, horizon: float) -> float | None:
    by_trials = math.inf if spec.budget.trials is None else spec.budget.trials * horizon
    most = min(by_trials, search_epochs(spec, horizon))
    return None if most == math.inf else most


def _confirm_runs(spec: StudySpec, horizon: float) -> int:
    budget, confirm = spec.budget, spec.confirm
    if confirm is None:
        return 0
    if budget.trials is None and budget.time is None:
        return reserved_runs(spec, horizon)  # search takes all that is not kept
    started = sys.maxsize if budget.trials is None else budget.trials
    total = budget.most_epochs(horizon)
    most = allowed_runs(spec, started=started, epochs_left=total, horizon=horizon)
    return min(confirm.runs or MOST_RUNS, most)


def portfolio_trials(spec: StudySpec, horizon: float) -> int:
    """How many of the portfolio's recipes the study trains at most: they fit its space."""
    fitting = portfolio_recipes(spec.space, entries(spec.portfolio), accumulate=spec.accumulate)
    return min(len(fitting), portfolio_runs(spec, horizon))
