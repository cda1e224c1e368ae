"""Ended trials by their learning rate: plain values, nothing drawn."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from lrsearch.advice.lr_edges import recipe_scale
from lrsearch.advice.stopped_trials import Course, Standing, standings
from lrsearch.report.rows import Trial
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage.rungs import Mark
from lrsearch.trial.states import TrialState

#: Where the learning rates of one optimizer's trials differ from their momentum-equivalent ones by
#: factors that are further apart than this, these are compared.
ALIKE = 1.01


@dataclass(frozen=True, kw_only=True)
class LrTrial:
    """An ended trial and its peak learning rate."""

    trial: int
    optimizer: str
    schedule: str
    #: In torch's units.
    lr: float
    #: The momentum-equivalent one, where a panel compares these; else the same.
    at: float
    state: str
    #: Of a complete trial; of a pruned one what it would typically have reached, None where nothing
    #: tells; None of all others.
    value: float | None
    #: Of a pruned trial.
    standing: Standing | None
    #: Share of the horizon that it was trained for.
    progress: float


def lr_trials(
    trials: Iterable[Trial], marks: Iterable[Mark], spec: StudySpec, horizon: float
) -> tuple[LrTrial, ...]:
    """Every ended trial that has a recipe, by ticket; `horizon` is in epochs."""
    ended = [t for t in trials if t.has_ended and t.recipe and t.number is not None]
    drawn = [
        found
        for trial, standing in zip(ended, standings(_courses(spec, ended, marks)), strict=True)
        if (found := _lr_trial(spec, trial, standing, horizon)) is not None
    ]
    plain = {name for name in {t.optimizer for t in drawn} if not _differ(drawn, name)}
    return tuple(replace(t, at=t.lr) if t.optimizer in plain else t for t in drawn)


def _courses(spec: StudySpec, trials: Iterable[Trial], marks: Iterable[Mark]) -> list[Course]:
    """What each left at rungs, where that is finite, and the ends of those that are complete."""
    rungs: dict[int, dict[int, float]] = {}
    for mark in marks:
        if isfinite(mark.signal):
            rungs.setdefault(mark.trial, {})[mark.rung] = mark.signal
    loss = spec.objective.loss
    return [
        Course(
            rungs=rungs.get(trial.id, {}),
            final=loss(trial.value) if trial.is_scored and trial.value is not None else None,
        )
        for trial in trials
    ]


def _lr_trial(
    spec: StudySpec, trial: Trial, standing: Standing | None, horizon: float
) -> LrTrial | None:
    recipe = trial.parsed
    if recipe is None or trial.number is None or recipe.lr <= 0:
        return None
    pruned = trial.state == TrialState.PRUNED
    value = trial.value if trial.is_scored else None
    if pruned and standing is not None and standing.expected is not None:
        value = spec.objective.loss(standing.expected)  # its own inverse
    return LrTrial(
        trial=trial.number,
        optimizer=recipe.optimizer_name,
        schedule=recipe.schedule_name,
        lr=recipe.lr,
        at=recipe.lr * recipe_scale(recipe, spec.space),
        state=trial.state,
        value=value,
        standing=standing if pruned else None,
        progress=min(1.0, trial.epochs / horizon) if horizon else 1.0,
    )


def _differ(trials: Sequence[LrTrial], optimizer: str) -> bool:
    factors = [trial.at / trial.lr for trial in trials if trial.optimizer == optimizer]
    return max(factors) > ALIKE * min(factors)
