"""The plan of a search whose best trials go on: its stages, and which rung ends each."""

from bisect import bisect_right
from dataclasses import dataclass

from lrsearch.confirmation.budget import is_planned, search_epochs
from lrsearch.spec.study_spec import StudySpec
from lrsearch.trial.halving import Stage, make_stages
from lrsearch.trial.validations import make_plan


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """The stages of a search. Every stage but the last ends at a rung."""

    stages: tuple[Stage, ...]
    #: Numbers of the rungs, rising; one that falls on an earlier one's validation is none.
    rungs: tuple[int, ...]

    def stage_after(self, rung: int | None) -> int:
        """The stage that begins at a rung, or behind the last one before it; None: the first."""
        return 0 if rung is None else bisect_right(self.rungs, rung)


def search_plan(
    spec: StudySpec, steps_per_epoch: int, *, range_test_epochs: float
) -> SearchPlan | None:
    """The plan for what the budget leaves to trials; None where rungs decide one by one.

    A baseline is trained whole, beside it. Epochs at rungs are those of the study's own batch size.
    """
    horizon = spec.horizon_epochs(steps_per_epoch)
    if not is_planned(spec, horizon) or spec.pruning is None:
        return None
    plan = make_plan(
        steps_per_epoch=steps_per_epoch,
        total_steps=round(horizon * steps_per_epoch),
        validate_steps=spec.validate_every.steps,
        validate_fraction=spec.validate_every.fraction,
        validate_rungs=spec.validate_every.rungs,
        rungs=spec.pruning.rungs,
    )
    placed = sorted(plan.rungs.items())
    ends = [plan.validations[number - 1] / steps_per_epoch for number, _ in placed]
    whole = range_test_epochs + (0.0 if spec.baseline is None else horizon)
    epochs = max(0.0, search_epochs(spec, horizon) - whole)
    return SearchPlan(
        stages=make_stages(epochs, [*ends, horizon]), rungs=tuple(rung for _, rung in placed)
    )
