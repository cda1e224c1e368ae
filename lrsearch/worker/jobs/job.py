"""What a worker claims and trains: a search trial or a confirmation run."""

from collections.abc import Sequence
from typing import Protocol

from lrsearch.recipe.recipe import Recipe
from lrsearch.storage.leases import Claim
from lrsearch.study.open_study import Arrival
from lrsearch.training.training import Purpose, Training
from lrsearch.trial.curve import Measurement, Validation
from lrsearch.trial.states import TrialState
from lrsearch.worker.leases.curve_buffer import CurveBuffer


class Job(Protocol):
    """What was claimed, how it is judged, and how its end is recorded."""

    @property
    def claim(self) -> Claim: ...
    @property
    def recipe(self) -> Recipe: ...

    #: Workers that died in it without a new checkpoint.
    @property
    def deaths(self) -> int: ...

    #: As `lrsearch status` and the log show it.
    @property
    def name(self) -> str: ...

    #: What it is trained for.
    @property
    def purpose(self) -> Purpose: ...

    #: Whether the database takes its curve, or its end alone.
    @property
    def has_curve(self) -> bool: ...

    #: Whether the weights that its value is of stay when it has ended.
    @property
    def keeps_weights(self) -> bool: ...

    #: Step at which it leaves a checkpoint for other runs; None: at none.
    @property
    def keep_step(self) -> int | None: ...

    #: Whether the noise of its gradients is measured beside its validations.
    @property
    def measures_noise(self) -> bool: ...

    def is_tested(self, row: Validation, rows: CurveBuffer, *, last: bool) -> bool:
        """Whether the test set is scored at this validation, which is not in `rows` yet."""
        ...

    def arrival(
        self, row: Measurement, rung: int, number: int, rows: CurveBuffer
    ) -> Arrival | None:
        """What is judged at a rung, at this validation of its training; None if nothing is."""
        ...

    def write_again(self, rows: Sequence[Validation], passed: Sequence[Arrival]) -> None:
        """Write what the database has lost of it, see `rung_decisions.write_again`."""
        ...

    def end(
        self,
        training: Training | None,
        state: TrialState,
        reason: str | None,
        rows: CurveBuffer,
    ) -> bool:
        """Record how it ended, with the rows that wait; False if another has taken it over.

        `training` is where it stands; None if it was never trained here. Raises LostRowsError if
        the database has lost rows of it, LostTrialError if it has to begin anew.
        """
        ...
