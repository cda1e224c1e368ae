"""Around each confirmed recipe, how wide the range of learning rates is that do well."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from lrsearch.confirmation import lr_tolerance
from lrsearch.confirmation.lr_tolerance import LrTrial
from lrsearch.confirmation.runs import REPORT, Run
from lrsearch.confirmation.statistics import pooled_spread
from lrsearch.plain_data import Fields
from lrsearch.spec.study_spec import StudySpec
from lrsearch.trial.states import OPEN, TrialState

#: A learning rate does well where the best value is within so many standard deviations of a seed
#: of the study's best.
BASIN_SPREADS = 2.0


class Trial(Protocol):
    """A trial of the search."""

    #: None until Optuna has it.
    @property
    def number(self) -> int | None: ...
    @property
    def state(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    #: As stored; None until one is sampled.
    @property
    def recipe(self) -> Fields | None: ...


def basins_of(
    runs: Sequence[Run], trials: Mapping[int, Trial], spec: StudySpec
) -> dict[int, float | None]:
    """Of each trial with runs that report, the decades of learning rate; None if too few tell."""
    found = {}
    for number in dict.fromkeys(run.number for run in runs if run.round == REPORT):
        if not trials[number].recipe:
            continue
        beside = trials_beside(number, runs, trials, spec)
        if beside is None:
            return {}
        _, lr = _optimizer(trials[number])
        found[number] = lr_tolerance.width(lr, *beside)
    return found


def trials_beside(
    number: int, runs: Sequence[Run], trials: Mapping[int, Trial], spec: StudySpec
) -> tuple[list[LrTrial], float] | None:
    """The ended trials of a trial's optimizer, and the loss at which a learning rate does well.

    None if no trial has a value.
    """
    known = [
        trial
        for trial in trials.values()
        if trial.number is not None and trial.recipe and trial.state not in OPEN
    ]
    losses = [_final_loss(trial, spec) for trial in known]
    best = min((loss for loss in losses if loss is not None), default=None)
    if best is None:
        return None
    limit = best + max(spec.tolerance, BASIN_SPREADS * (_spread(runs) or 0.0))
    name, _ = _optimizer(trials[number])
    peaks = [(*_optimizer(trial), loss) for trial, loss in zip(known, losses, strict=True)]
    return [LrTrial(lr=lr, loss=loss) for own, lr, loss in peaks if own == name], limit


def _optimizer(trial: Trial) -> tuple[str, float]:
    """Its name and peak learning rate."""
    optimizer = (trial.recipe or {})["optimizer"]
    return optimizer["name"], optimizer["lr"]


def _spread(runs: Sequence[Run]) -> float | None:
    """The standard deviation between seeds, over all recipes that ran on several."""
    values: dict[int, list[float]] = {}
    for run in runs:
        if run.value is not None:
            values.setdefault(run.number, []).append(run.value)
    return pooled_spread(list(values.values()))


def _final_loss(trial: Trial, spec: StudySpec) -> float | None:
    """What a trial reached at its end; None for one that did not get there."""
    if trial.state != TrialState.COMPLETE or trial.value is None:
        return None
    return spec.objective.loss(trial.value)
