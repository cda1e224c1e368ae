"""ReduceLROnPlateau for a loop that calls `scheduler.step()` after every optimizer step."""

from typing import Literal

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau


class Plateau(ReduceLROnPlateau):
    """`step()` without a metric does nothing; `step(value)` comes after each validation.

    The value is that of what the schedule's `metric` names: the validation loss of the raw weights,
    or the study's objective, which is better the lower it is (`mode` min) or the higher (max).
    threshold is 0 (any lower loss is an improvement): with torch's relative 1e-4 a constant
    negative loss counts as improving for ever.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        factor: float,
        patience: int,
        mode: Literal["min", "max"] = "min",
        eps: float = 1e-8,
    ) -> None:
        super().__init__(
            optimizer, mode=mode, factor=factor, patience=patience, threshold=0.0, eps=eps
        )

    def step(self, metrics: float | None = None, epoch: int | None = None) -> None:  # type: ignore[override]
        if metrics is not None:
            super().step(metrics, epoch)
