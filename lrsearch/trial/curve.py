"""A trial's curve: what a validation has measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Scores by name; None where one is not finite, once it has been stored.
Scores = Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Validation:
    """A validation of a trial: a row of its curve.

    Losses that are not finite are so where the trial is trained, and None once they were stored.
    """

    #: 1-based.
    validation: int
    step: int
    epoch: float
    #: Learning rate of the last step.
    lr: float
    #: Mean over the steps since the last validation.
    train_loss: float | None
    val_loss: float | None
    #: Of the averaged weights, where they were validated.
    val_loss_ema: float | None
    #: Of the deployed weights.
    metrics: Scores
    #: Of the averaged weights, where they were validated.
    metrics_ema: Scores | None
    #: Total L2 norm of the last step's gradient, before clipping.
    grad_norm: float | None
    #: Training and validation time of the trial so far.
    seconds: float
    #: Of the deployed weights on the task's test set, where a confirmation scored that: `loss` and
    #: metrics. No stored curve has it.
    test: Scores | None = None

    def to_dict(self) -> dict[str, Any]:
        """For a file of this machine: JSON as Python writes it, NaN and infinity included."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Validation":
        """Raises TypeError for a document that is none."""
        return cls(**document)
