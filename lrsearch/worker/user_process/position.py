"""Where a trial of a process stands, as its checkpoint keeps it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from lrsearch.plain_data import Document, Fields


@dataclass(frozen=True, kw_only=True)
class Position:
    """What the worker knows of a trial; see the attributes of `ProcessTraining`."""

    step: int
    epochs_done: float
    validated: int
    validated_at: int
    seconds: float
    start_loss: float = math.nan
    rungs: Mapping[int, int] = field(default_factory=dict)

    def to_dict(self) -> Document:
        """As JSON: the rungs are pairs of validation and rung."""
        return {**vars(self), "rungs": sorted(self.rungs.items())}

    @classmethod
    def from_dict(cls, fields: Fields) -> Self:
        """Raises ValueError, KeyError or TypeError for what `to_dict` never gave."""
        rungs = {int(validation): int(rung) for validation, rung in fields["rungs"]}
        return cls(**{**fields, "rungs": rungs})
