"""The runs of a ladder as a study's trials have them, and the recipes that are due next."""

from collections.abc import Iterable
from typing import Protocol

from lrsearch.plain_data import Document, Fields
from lrsearch.spec.study_spec import StudySpec
from lrsearch.transfer.plan import next_runs
from lrsearch.transfer.runs import Run
from lrsearch.transfer.successor import FREE, ladder_of, recipe_fields
from lrsearch.trial.states import MACHINE, OPEN, TrialState


class Trial(Protocol):
    """A trial as it is stored."""

    @property
    def kind(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def recipe(self) -> Fields | None: ...


def ended_runs(spec: StudySpec, trials: Iterable[Trial]) -> list[Run]:
    """The ladder's runs that have ended, whatever else was enqueued in its study left out.

    One that did not get to its end has no loss. A trial that failed for its machine counts nowhere.
    """
    assert spec.ladder is not None
    known = _alike(spec.ladder.recipe)
    found = []
    for trial in trials:
        recipe = trial.recipe
        if trial.state in OPEN or trial.kind == MACHINE or recipe is None:
            continue
        if _alike(recipe) == known and recipe.get(spec.ladder.unit) is not None:
            found.append(
                Run(
                    horizon=recipe[spec.ladder.unit],
                    lr=recipe["optimizer"]["lr"],
                    seed=recipe["seed"],
                    loss=trial.value if trial.state == TrialState.COMPLETE else None,
                )
            )
    return found


def _alike(recipe: Fields) -> Document:
    """What all runs of a ladder have alike."""
    optimizer = {key: value for key, value in recipe["optimizer"].items() if key != "lr"}
    rest = {key: value for key, value in recipe.items() if key not in FREE}
    return {**rest, "optimizer": optimizer}


def due_recipes(spec: StudySpec, trials: Iterable[Trial]) -> list[Document]:
    """What is to be trained next, once all trials have ended; empty if the ladder is complete."""
    runs = ended_runs(spec, trials)
    return [
        recipe_fields(spec, run.horizon, run.lr, run.seed)
        for run in next_runs(ladder_of(spec), runs)
    ]
