"""A task's model, new and checked."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from lrsearch.errors import TaskError, describe
from lrsearch.task.task import Task


def make_model(task: Task, device: torch.device) -> nn.Module:
    """A new model on the device, weights drawn from torch's global generator.

    Raises TaskError unless the task gives a module with a parameter to train.
    """
    try:
        model = task.model()
    except Exception as error:
        raise TaskError(f"the task's model() raised {describe(error)}") from error
    if not isinstance(model, nn.Module):
        raise TaskError(f"the task's model() gave {type(model).__name__}, but a Module is needed")
    if not any(p.requires_grad for p in model.parameters()):
        raise TaskError("the task's model has no parameter to train")
    lazy = [name for name, p in model.named_parameters() if is_lazy(p)]
    if lazy:
        raise TaskError(
            f"the task's model() gave a lazy module, {lazy[0]} has no shape; run the model on a "
            f"batch in model()"
        )
    return model.to(device)
