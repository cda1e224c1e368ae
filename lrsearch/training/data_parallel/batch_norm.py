"""Batch normalisation of a batch that several devices share: over all of it, as on one device."""

from dataclasses import replace

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lrsearch.errors import TaskError
from lrsearch.task.task import Task


def synced(task: Task, device: torch.device) -> Task:
    """The task, in whose models torch's SyncBatchNorm stands in the place of batch normalisation.

    Raises TaskError where it makes a model with batch normalisation for a CPU.
    """

    def make() -> nn.Module:
        model = task.model()
        if not isinstance(model, nn.Module):
            return model  # which `make_model` refuses
        if device.type == "cpu":
            refuse_batch_norm(model)
            return model
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted

    return replace(task, model=make)


def require_alone(model: nn.Module) -> None:
    """Raises TaskError for a model that one process of several cannot run in training mode."""
    if any(isinstance(module, nn.SyncBatchNorm) for module in model.modules()):
        raise TaskError(
            "the noise of the gradient is measured on one device, where SyncBatchNorm would wait "
            "for the others; leave devices_per_trial out"
        )


def refuse_batch_norm(model: nn.Module) -> None:
    """Raises TaskError for a model whose batches torch cannot normalise over several CPUs."""
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            raise TaskError(
                f"the model's {name or type(module).__name__} normalises over the batch, of which "
                f"each of the devices has a part; torch gathers that on GPUs, not on a CPU: leave "
                f"devices_per_trial out, or take GroupNorm or LayerNorm"
            )
