"""The runs of a ladder as a study's trials have them, and the recipes that are due next."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from lrsearch.plain_data import Document, Fields
from lrsearch.spec.study_spec import StudySpec
from lrsearch.transfer.batch import SCALE
from lrsearch.transfer.optimum import optima
from lrsearch.transfer.plan import by_horizon, next_runs
from lrsearch.transfer.runs import Ladder, Run
from lrsearch.transfer.successor import ladder_of, recipe_fields
from lrsearch.trial.curve import Scores
from lrsearch.trial.states import OPEN, TrialState

#: The kind of a ladder's trials, and of the one that measures the noise of its gradients.
KIND, NOISE_KIND = "ladder", "noise"


class Trial(Protocol):
    """A trial as it is stored."""

    @property
    def kind(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def metrics(self) -> Scores | None: ...
    @property
    def recipe(self) -> Fields | None: ...


@dataclass(frozen=True, kw_only=True)
class Due:
    """A run that is to be trained next."""

    kind: str
    recipe: Document


def ended_runs(spec: StudySpec, trials: Iterable[Trial]) -> list[Run]:
    """The ladder's runs that have ended; whatever else was enqueued in its study is left out.

    One that did not get to its end has no loss. A trial that failed for its machine counts nowhere.
    """
    assert spec.ladder is not None
    return [
        Run(
            horizon=trial.recipe[spec.ladder.unit],
            lr=trial.recipe["optimizer"]["lr"],
            seed=trial.recipe["seed"],
            loss=trial.value if trial.state == TrialState.COMPLETE else None,
        )
        for trial in trials
        if trial.kind == KIND and trial.state not in OPEN and trial.recipe is not None
    ]


def measured_ladder(spec: StudySpec, trials: Iterable[Trial]) -> Ladder:
    """The ladder of a study, with the noise of its gradients once that is measured."""
    ladder = ladder_of(spec)
    if ladder.batch is None:
        return ladder
    ended = [each for each in trials if each.kind == NOISE_KIND and each.state not in OPEN]
    scales = [(each.metrics or {}).get(SCALE) for each in ended]
    scale = next((found for found in scales if found is not None), None)
    batch = replace(ladder.batch, noise_scale=scale, is_lost=bool(ended) and scale is None)
    return replace(ladder, batch=batch)


def due_runs(spec: StudySpec, trials: Sequence[Trial]) -> list[Due]:
    """What is to be trained next, once all trials have ended; empty if the ladder is complete.

    Before long runs of another batch, the run that measures the noise: of the longest short
    horizon, at its best learning rate.
    """
    ladder, runs = measured_ladder(spec, trials), ended_runs(spec, trials)
    due = next_runs(ladder, runs)
    waits = ladder.batch is not None and not ladder.batch.is_known
    if waits and any(run.horizon == ladder.to for run in due):
        rungs = by_horizon(ladder, runs)
        best = optima({each: rungs[each] for each in ladder.horizons})[-1]
        recipe = recipe_fields(spec, best.horizon, float(f"{best.lr:.6g}"), spec.seed)
        return [Due(kind=NOISE_KIND, recipe=recipe)]
    return [
        Due(kind=KIND, recipe=recipe_fields(spec, run.horizon, run.lr, run.seed)) for run in due
    ]
