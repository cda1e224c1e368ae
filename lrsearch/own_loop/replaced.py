"""What an optimizer of the script's own trains, for the recipe's optimizer in its place."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lrsearch.own_loop.parameters import Given
from lrsearch.plain_data import Document


def given_of(optimizer: torch.optim.Optimizer, model: nn.Module) -> Given:
    """For `run.build`: the model itself if the optimizer trains all of it, else its groups.

    Of the groups two things are kept: the ratio of their learning rates to the highest, and that
    a group has no weight decay where another one has some. All else is the recipe's.
    """
    groups = [_group(group, optimizer, _highest_lr(optimizer)) for group in optimizer.param_groups]
    plain = all(group.keys() == {"params"} for group in groups)
    members = [tensor for group in groups for tensor in group["params"]]
    trained = [tensor for tensor in model.parameters() if tensor.requires_grad]
    if plain and _ids(members) == _ids(trained):
        return model
    return members if plain else groups


def _group(group: Document, optimizer: torch.optim.Optimizer, highest: float) -> Document:
    members = [tensor for tensor in group["params"] if tensor.requires_grad]
    own: Document = {"params": members}
    if _lr(group) != highest:
        own["lr_scale"] = _lr(group) / highest
    decays = [other.get("weight_decay", 0.0) for other in optimizer.param_groups]
    if any(decays) and group.get("weight_decay") == 0.0:
        own["weight_decay"] = 0.0
    return own


def _highest_lr(optimizer: torch.optim.Optimizer) -> float:
    return max(_lr(group) for group in optimizer.param_groups)


def _lr(group: Document) -> float:
    """Before a scheduler has changed it."""
    return float(group["initial_lr" if "initial_lr" in group else "lr"])


def _ids(tensors: Sequence[Tensor]) -> set[int]:
    return {id(tensor) for tensor in tensors}
