"""The runs of a ladder as a study's trials have them, and the recipes that are due next."""

from collections.abc import Iterable
from typing import Protocol

from lrsearch.plain_data import Document, Fields
from lrsearch.spec.study_spec import StudySpec
from lrsearch.transfer.plan import next_runs
from lrsearch.transfer.runs import Run
from lrsearch.transfer.successor import ladder_of, recipe_fields
from lrsearch.trial.states import OPEN, TrialState

#: The kind of a ladder's trials.
KIND = "ladder"


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


def due_recipes(spec: StudySpec, trials: Iterable[Trial]) -> list[Document]:
    """What is to be trained next, once all trials have ended; empty if the ladder is complete."""
    runs = ended_runs(spec, trials)
    return [
        recipe_fields(spec, run.horizon, run.lr, run.seed)
        for run in next_runs(ladder_of(spec), runs)
    ]
