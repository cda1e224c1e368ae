"""ReduceLROnPlateau for a loop that calls `scheduler.step()` after every optimizer step."""

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau


class Plateau(ReduceLROnPlateau):
    """`step()` without a metric does nothing; `step(val_loss)` comes after each validation.

    threshold is 0 (any lower loss is an improvement): with torch's relative 1e-4 a constant
    negative loss counts as improving for ever.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, factor: float, patience: int) -> None:
        super().__init__(optimizer, mode="min", factor=factor, patience=patience, threshold=0.0)

    def step(self, metrics: float | None = None, epoch: int | None = None) -> None:  # type: ignore[override]
        if metrics is not None:
            super().step(metrics, epoch)
