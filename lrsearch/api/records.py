"""What a `Result` holds, as values: trials, curves, counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from lrsearch.recipe.recipe import Recipe
from lrsearch.report.rows import Trial
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.trial_value import objective_value
from lrsearch.storage.records import CurveRecord
from lrsearch.trial.curve import Scores
from lrsearch.trial.states import TrialState


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How the started trials of a study ended."""

    complete: int
    pruned: int
    diverged: int
    failed: int
    running: int
    #: At a rung of a planned search, until it is known whether they go on.
    waiting: int = 0

    @property
    def started(self) -> int:
        return (
            self.complete + self.pruned + self.diverged + self.failed + self.running + self.waiting
        )

    def title(self) -> str:
        """`60 trials: 41 complete, 19 pruned`; states that no trial is in are left out."""
        ends = {"complete": self.complete, "pruned": self.pruned, "diverged": self.diverged}
        ends |= {"failed": self.failed, "running": self.running, "waiting": self.waiting}
        said = ", ".join(f"{count} {state}" for state, count in ends.items() if count)
        trials = f"{self.started} trial{'' if self.started == 1 else 's'}"
        return trials + (f": {said}" if said else "")


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """A started trial of the search, on the search's seed."""

    #: Its number, by which `curves` and `export` take it; None if its worker died before it began.
    number: int | None
    #: `complete`, `pruned`, `diverged`, `failed`, `running` or `waiting`.
    state: str
    #: `sampled`, or where else its recipe comes from: `baseline`, `enqueued`, `portfolio`,
    #: `warm_start`; `machine` for one that failed for its machine and does not count.
    kind: str
    #: The objective; of a pruned trial its best until then, None where there is none.
    value: float | None
    recipe: Recipe | None
    #: The task's other metrics at the validation that gave the value, by name.
    metrics: Scores
    #: Trained.
    epochs: float
    #: Of training and validation.
    seconds: float
    #: 1, and one more each time that another worker went on with it.
    attempts: int
    #: Why it failed or diverged.
    reason: str | None

    @property
    def is_complete(self) -> bool:
        """Whether it was trained to its end."""
        return self.state == TrialState.COMPLETE

    @classmethod
    def of(cls, trial: Trial) -> Self:
        return cls(
            number=trial.number,
            state=trial.state,
            kind=trial.kind,
            value=trial.value,
            recipe=trial.parsed,
            metrics={} if trial.metrics is None else trial.metrics,
            epochs=trial.epochs,
            seconds=trial.seconds,
            attempts=trial.attempt,
            reason=trial.reason,
        )


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A validation of a trial; what was not finite is None."""

    #: The trial's number.
    trial: int
    #: 1-based.
    validation: int
    epoch: float
    #: Optimizer steps.
    step: int
    #: Learning rate of the last step.
    lr: float
    #: Mean over the steps since the last validation.
    train_loss: float | None
    val_loss: float | None
    #: Of the averaged weights, where they were validated.
    val_loss_ema: float | None
    #: The objective, which may be one of these losses or metrics.
    value: float | None
    #: The task's other metrics by name.
    metrics: Mapping[str, float | None]
    #: L2 norm of the last step's whole gradient, before clipping.
    grad_norm: float | None
    #: Of training and validation, so far.
    seconds: float

    @classmethod
    def of(cls, row: CurveRecord, spec: StudySpec) -> Self:
        assert row.number is not None  # curves.of_study asks for it
        return cls(
            trial=row.number,
            validation=row.validation,
            epoch=row.epoch,
            step=row.step,
            lr=row.lr,
            train_loss=row.train_loss,
            val_loss=row.val_loss,
            val_loss_ema=row.val_loss_ema,
            value=objective_value(row, spec),
            metrics=row.metrics,
            grad_norm=row.grad_norm,
            seconds=row.seconds,
        )
