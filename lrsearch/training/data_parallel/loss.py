"""The loss of a batch that several processes share, as a module for DistributedDataParallel."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils._pytree import PyTree

from lrsearch.errors import TaskError
from lrsearch.task.task import Task
from lrsearch.training.batch_loss import LABELS, output_of
from lrsearch.training.data import samples_of, told_size
from lrsearch.training.pooling.means import Size, pair_size, valid_labels
from lrsearch.training.pooling.observed import Noted, Observed
from lrsearch.training.precision import widest_float


class PartOfLoss(nn.Module):
    """From a process's part of a batch to its part of the loss of the whole batch.

    A mean is weighed by what it is over: samples, valid labels, or what `(sum, count)` says. So
    the parts add up to the loss of one device, also where they are not equally large.
    """

    def __init__(self, task: Task, model: nn.Module, ranks: int) -> None:
        super().__init__()
        self.task, self.model, self.ranks = task, model, ranks

    def forward(self, batch: PyTree) -> tuple[Tensor, Tensor]:
        """What to differentiate, and the part itself, detached; scalars.

        DistributedDataParallel takes the mean of the gradients of all processes, so the first is as
        many times the second. Raises TaskError where it cannot be told what a mean is over.
        """
        value, noted, size = self._measured(batch)
        if isinstance(value, tuple):
            total, count = value
            part = total / self._sum(count, total.device)
        elif noted is not None and noted.count is None:
            part = value  # a sum
        else:
            part = self._weighed(value, noted, size)
        return part * self.ranks, part.detach()

    def _measured(self, batch: PyTree) -> tuple[Any, Noted | None, Size]:
        """The loss of the part, what it was seen to be over, and how large the part is."""
        task, model = self.task, self.model
        if task.loss is not None:
            inputs, targets = batch
            size = pair_size(targets, samples_of(targets))
            output = model(inputs)
            with Observed(size.samples, size.entries) as seen:
                loss: Any = task.loss(output, targets)
            return loss, seen.of(loss), size
        size = Size(samples=told_size(batch))
        with Observed(size.samples) as seen:
            loss = output_of(model, batch).loss if task.step is None else task.step(model, batch)
        noted = seen.of(loss)
        if task.step is None and noted is None:
            size = valid_labels(batch[LABELS])
        return loss, noted, size

    def _weighed(self, mean: Tensor, noted: Noted | None, size: Size) -> Tensor:
        count = size.weight if noted is None else noted.count
        if count is None:
            raise TaskError(
                "devices_per_trial weighs the loss of each part of a batch by its samples, but how "
                "many those are cannot be told from it; return (sum, count) from step"
            )
        of_part = self._number(count, mean.device)
        whole = self._sum(of_part, mean.device)
        # The mean over nothing is NaN, and counts for nothing.
        counted = torch.where(of_part > 0, mean, 0.0)
        return counted * (of_part / whole).to(mean.dtype)

    def _sum(self, count: Tensor | float, device: torch.device) -> Tensor:
        """Of all processes."""
        whole = self._number(count, device).clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def _number(count: Tensor | float, device: torch.device) -> Tensor:
        number = torch.as_tensor(count, device=device).detach()
        return number.to(widest_float(device)).reshape(())
