"""The plan of a whole budget: what is tried in which order, and how much each share takes."""

from dataclasses import dataclass

from lrsearch.advice.cost import CostPlan
from lrsearch.confirmation.shape import shape


@dataclass(frozen=True, kw_only=True)
class Reached:
    """About how many trials get so far."""

    #: Of a run; 1 is its end.
    fraction: float
    trials: int


@dataclass(frozen=True, kw_only=True)
class SpentOn:
    """Epochs by what they are spent on; None where nothing is expected, as time alone ends it."""

    range_test: float
    #: The user's own recipes and the portfolio's.
    known: float | None
    #: Recipes that the sampler draws.
    exploration: float | None
    confirm: float


@dataclass(frozen=True, kw_only=True)
class Confirming:
    """Runs with fresh seeds, and what they are for."""

    runs: int
    #: Runs that choose among so many recipes; 0 and 1 where the search's best is taken.
    choose: int
    among: int
    report: int


@dataclass(frozen=True, kw_only=True)
class Shares:
    """What the budget is expected to be spent on."""

    epochs: SpentOn
    #: Recipes of the user's own, then of the portfolio, that are tried; then about how many of the
    #: sampler's, None where nothing is expected.
    own: int
    portfolio: int
    sampled: int | None
    #: Whether the portfolio's are trained to their end, whatever the rungs say.
    whole: bool
    #: Rungs, then the end; empty where every trial is trained to its end.
    reached: tuple[Reached, ...]
    #: Of a planned search: the trials that each stage trains, those beside the plan apart.
    stages: tuple[Reached, ...]
    #: Why trials do not wait at rungs, though the study file asks for it; else empty.
    unplanned: str
    confirming: Confirming


def shares(plan: CostPlan) -> Shares:
    """What the plan's budget is expected to be spent on."""
    trials = plan.expected_trials
    own = plan.own if trials is None else min(plan.own, trials)
    portfolio = plan.portfolio if trials is None else min(plan.portfolio, trials - own)
    sampled = None if trials is None else trials - own - portfolio
    known, exploration = _search(plan, sampled)
    return Shares(
        epochs=SpentOn(
            range_test=plan.range_test, known=known, exploration=exploration, confirm=plan.confirm
        ),
        own=own,
        portfolio=portfolio,
        sampled=sampled,
        whole=plan.whole or not plan.rungs,
        reached=_reached(plan),
        stages=_stages(plan),
        unplanned=plan.unplanned,
        confirming=_confirming(plan),
    )


def _search(plan: CostPlan, sampled: int | None) -> tuple[float | None, float | None]:
    """Epochs of the recipes that are known, and of those that are drawn."""
    if plan.course is None or plan.search is None:
        return None, None
    known = plan.course.runs_first * plan.horizon
    if not sampled:
        return known, 0.0
    # Epochs are searched with until they are used up; a number of trials ends where they do.
    expected = plan.course.runs * plan.horizon
    search = plan.search if plan.trials is None else min(expected, plan.search)
    inside = 0.0 if plan.beside or plan.trials is not None else plan.range_test
    return known, max(0.0, search - inside - known)


def _reached(plan: CostPlan) -> tuple[Reached, ...]:
    course = plan.course
    if course is None or round(course.reached[-1]) == course.trials:
        return ()
    fractions = (*plan.rungs, 1.0)
    return tuple(
        Reached(fraction=fraction, trials=round(count))
        for fraction, count in zip(fractions, course.reached, strict=True)
    )


def _stages(plan: CostPlan) -> tuple[Reached, ...]:
    if plan.planned is None:
        return ()
    stages = zip(plan.planned.ends, plan.planned.seats, strict=True)
    return tuple(Reached(fraction=end / plan.horizon, trials=seats) for end, seats in stages)


def _confirming(plan: CostPlan) -> Confirming:
    runs = plan.confirm_runs
    if runs == 0:
        return Confirming(runs=0, choose=0, among=1, report=0)
    found = shape(runs, plan.candidates)
    among = found.rounds[0].candidates if found.rounds else 1
    return Confirming(runs=runs, choose=runs - found.report, among=among, report=found.report)
