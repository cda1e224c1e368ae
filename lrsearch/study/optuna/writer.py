"""What is written of a study and its trials into Optuna's tables, in a transaction of ours.

Optuna's own storage commits each of its writes by itself. Here a trial changes together with our
rows, or not at all, and what Optuna then sees is what it would have written itself. Whoever opened
the study before does not see new ends: Optuna caches what has ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from lrsearch.plain_data import Fields
from lrsearch.storage.postgresql_trials import Beside, NewTrials
from lrsearch.study.optuna.sampler_units import Encoding


@dataclass(frozen=True, kw_only=True)
class OptunaEnd:
    """How a trial ends in Optuna."""

    state: OptunaState
    #: Of a complete trial; a pruned one's is its last report, as `optuna.Study.tell` has it.
    value: float | None = None
    #: How far the trial was beyond the stable; above 0, it is infeasible.
    violation: float = 0.0
    #: A finite bad value that is reported one step after the last.
    bad: float | None = None


#: The end of a trial that tells the sampler nothing.
FAILED = OptunaEnd(state=OptunaState.FAIL)


class OptunaWriter(Protocol):
    """Writes in one transaction."""

    def insert_study(self, name: str, direction: str) -> int:
        """A new study; its id. `direction` is `minimize` or `maximize`."""
        ...

    def delete_study(self, study_id: int) -> None:
        """Remove a study with all its trials; our rows refer to them and go with them."""
        ...

    def count_trials(self, study_id: int) -> int:
        """How many trials the study has, those of no ticket included."""
        ...

    def insert_trials(self, study_id: int, trials: Sequence[FrozenTrial]) -> list[int]:
        """Append ended trials, numbered on from those that are there; their ids."""
        ...

    def start_trial(self, study_id: int, ticket: int) -> tuple[int, int]:
        """A running trial for a ticket; its id and number.

        The caller holds our row of the study.
        """
        ...

    def add_recipe(self, trial_id: int, recipe: Fields, encoding: Encoding) -> None:
        """Write what a trial trains; twice is the same as once."""
        ...

    def new_trials(self) -> NewTrials | None:
        """How `start_trial` is part of the statement that takes a ticket; None: it cannot be."""
        ...

    def recipe_rows(self, trial_id: int, recipe: Fields, encoding: Encoding) -> Beside | None:
        """How `add_recipe` is part of the statement that records a recipe; None: it cannot be."""
        ...

    def report(self, trial_id: int, step: int, value: float) -> None:
        """Write a value at a step, in place of what an earlier attempt has reported there."""
        ...

    def report_row(self, trial_id: int, step: int, value: float) -> Beside | None:
        """How `report` is part of another statement; None: it cannot be."""
        ...

    def end_trial(self, trial_id: int, end: OptunaEnd) -> None:
        """End a running trial."""
        ...

    def end_rows(self, trial_id: int, end: OptunaEnd) -> Beside | None:
        """How `end_trial` is part of another statement; None: it cannot be."""
        ...

    def differing(self, study_id: int) -> list[int]:
        """Numbers of our trials that run in one half alone, or are complete in one half alone."""
        ...
