"""The plan of a search whose best trials go on: its stages, and which rung ends each."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from lrsearch.confirmation.budget import is_planned, runs_beside, search_epochs
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.validation_plan import study_plan
from lrsearch.trial.expected_trials import Course
from lrsearch.trial.halving import Stage, make_stages
from lrsearch.trial.rounding import floor


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """The stages of a search. Every stage but the last ends at a rung."""

    stages: tuple[Stage, ...]
    #: Numbers of the rungs, rising; one that falls on an earlier one's validation is none.
    rungs: tuple[int, ...]
    #: Trials that are trained whole, beside it.
    beside: int = 0

    @property
    def ends(self) -> tuple[float, ...]:
        """What a trial has trained at the end of each stage, in epochs."""
        return tuple(accumulate(stage.cost for stage in self.stages))

    @property
    def seats(self) -> tuple[int, ...]:
        """How many trials each stage pays for, if each trains all of it."""
        seats, left = [], 0.0
        for stage in self.stages:
            left += stage.share
            seats.append(floor(left / stage.cost))
            left -= seats[-1] * stage.cost
        return tuple(seats)

    def stage_after(self, rung: int | None) -> int:
        """The stage that begins at a rung, or behind the last one before it; None: the first."""
        return 0 if rung is None else bisect_right(self.rungs, rung)


def search_plan(
    spec: StudySpec, steps_per_epoch: int, *, range_test_epochs: float, portfolio: int
) -> SearchPlan | None:
    """The plan for what the budget leaves to trials; None where rungs decide one by one.

    A baseline is trained whole, beside it, and so may be the `portfolio` of so many recipes. Epochs
    at rungs are those of the study's own batch size.
    """
    horizon = spec.horizon_epochs(steps_per_epoch)
    if not is_planned(spec, horizon) or spec.pruning is None:
        return None
    total = round(horizon * steps_per_epoch)
    plan = study_plan(spec, steps_per_epoch=steps_per_epoch, total_steps=total)
    placed = sorted(plan.rungs.items())
    ends = [plan.validations[number - 1] / steps_per_epoch for number, _ in placed]
    beside = runs_beside(spec, horizon, portfolio=portfolio)
    epochs = max(0.0, search_epochs(spec, horizon) - range_test_epochs - beside * horizon)
    return SearchPlan(
        stages=make_stages(epochs, [*ends, horizon]),
        rungs=tuple(rung for _, rung in placed),
        beside=beside,
    )


def planned_course(plan: SearchPlan, *, first: int) -> Course:
    """How a planned search is expected to go; its first trials are `first`, as in `Course`."""
    horizon, begun = plan.ends[-1], plan.seats[0]
    stages = zip(plan.stages, plan.seats, strict=True)
    planned = sum(stage.cost * seats for stage, seats in stages) / horizon
    inside = max(0, min(first - plan.beside, begun))
    return Course(
        trials=plan.beside + begun,
        reached=tuple(float(plan.beside + seats) for seats in plan.seats),
        runs_first=plan.beside + planned * inside / max(1, begun),
        runs=plan.beside + planned,
    )
