"""Around each confirmed recipe, how wide the range of learning rates is that do well."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from lrsearch.confirmation import lr_tolerance
from lrsearch.confirmation.lr_tolerance import LrTrial
from lrsearch.confirmation.runs import REPORT, Run
from lrsearch.confirmation.statistics import pooled_spread
from lrsearch.plain_data import Fields
from lrsearch.spec.study_spec import StudySpec
from lrsearch.trial.states import TrialState

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
    known = {
        trial.number: trial
        for trial in trials.values()
        if trial.number is not None and trial.recipe and trial.state != TrialState.RUNNING
    }
    losses = {number: _final_loss(trial, spec) for number, trial in known.items()}
    best = min((loss for loss in losses.values() if loss is not None), default=None)
    if best is None:
        return {}
    limit = best + max(spec.tolerance, BASIN_SPREADS * (_spread(runs) or 0.0))
    found = {}
    for number in dict.fromkeys(run.number for run in runs if run.round == REPORT):
        name, lr = _optimizer(trials[number])
        peaks = {n: _optimizer(trial) for n, trial in known.items()}
        mine = [LrTrial(lr=peak, loss=losses[n]) for n, (own, peak) in peaks.items() if own == name]
        found[number] = lr_tolerance.width(lr, mine, limit)
    return found


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
