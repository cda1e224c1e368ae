"""What validations have measured of a trial; its curve are those on the whole validation set."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Self

from lrsearch.plain_data import Document, Fields

#: Scores by name; None where one is not finite, once it has been stored.
Scores = Mapping[str, float | None]


def finite_scores(scores: Scores) -> Scores:
    """The same with None for what is not finite."""
    return {name: _finite(value) for name, value in scores.items()}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a validation has measured of a trial: on its whole validation set, or on a part of it.

    Losses that are not finite are so where the trial is trained, and None once they were stored.
    """

    step: int
    epoch: float
    val_loss: float | None
    #: Of the averaged weights, where they were validated.
    val_loss_ema: float | None
    #: Of the deployed weights.
    metrics: Scores
    #: Of the averaged weights, where they were validated.
    metrics_ema: Scores | None
    #: Training and validation time of the trial so far.
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Validation(Measurement):
    """A validation on the whole set: a row of a trial's curve."""

    #: 1-based; validations on a part of the set are not counted.
    validation: int
    #: Learning rate of the last step.
    lr: float
    #: Mean over the steps since the last row.
    train_loss: float | None
    #: Total L2 norm of the last step's gradient, before clipping.
    grad_norm: float | None
    #: Of the deployed weights on the task's test set, where a confirmation scored that: `loss` and
    #: metrics. No stored curve has it.
    test: Scores | None = None

    def stored(self) -> Self:
        """As the database holds it: None for what is not finite, which SQLite and JSON lack."""
        return replace(
            self,
            train_loss=_finite(self.train_loss),
            val_loss=_finite(self.val_loss),
            val_loss_ema=_finite(self.val_loss_ema),
            metrics=finite_scores(self.metrics),
            metrics_ema=finite_scores(self.metrics_ema) if self.metrics_ema else None,
            grad_norm=_finite(self.grad_norm),
        )

    def alone(self) -> "Validation":
        """The same without what the database adds to it."""
        return Validation(**{field.name: getattr(self, field.name) for field in fields(Validation)})

    def to_dict(self) -> Document:
        """For a file of this machine: JSON as Python writes it, NaN and infinity included."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, document: Fields) -> "Validation":
        """Raises TypeError for a document that is none."""
        return cls(**document)
