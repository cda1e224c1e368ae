"""From a checked optimizer mapping and a model to the real optimizer with its parameter groups."""

import importlib
from collections.abc import Callable, Sequence

import torch
from torch import nn

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.catalog.optimizers import OptimizerInfo
from lrsearch.catalog.script import SCRIPT
from lrsearch.errors import TaskError
from lrsearch.plain_data import Document, Fields
from lrsearch.recipe.optimizer_arguments import optimizer_arguments
from lrsearch.recipe.parameter_groups import Groups, ParameterGroup, parameter_groups
from lrsearch.task.own_code import is_own, loaded


def build_optimizer(
    optimizer: Fields, model: nn.Module, groups: Groups = None
) -> torch.optim.Optimizer:
    """The real optimizer over the parameters of `model` that are trained, in their groups.

    Raises TaskError where the model has no parameter that the optimizer can take, where `groups`
    do not fit the model, where a class of another package does not keep them, and for `script`.
    """
    if optimizer["name"] == SCRIPT:
        raise TaskError("the optimizer is the script's own; run the script with these values")
    optimizer = fused_where_it_can(optimizer, model)
    parted = parameter_groups(optimizer, model, groups)
    parameters = dict(model.named_parameters())
    if optimizer["name"] == "muon":
        return _muon(optimizer, model, parted)
    lr = optimizer["lr"]
    return make_optimizer(
        optimizer, [group.torch_group([parameters[n] for n in group.names], lr) for group in parted]
    )


def make_optimizer(optimizer: Fields, groups: Sequence[Document]) -> torch.optim.Optimizer:
    """The real optimizer, of one class, over these groups of parameters.

    Raises TaskError where its class has other groups, or other learning rates, than it was given.
    """
    info = optimizer_info(optimizer["name"], "optimizer.name")
    wanted = [group.get("lr", optimizer["lr"]) for group in groups]
    alone = len(groups) == 1 and groups[0].keys() == {"params"}
    given = groups[0]["params"] if alone else groups  # a class may know nothing of groups
    made = _class(info)(given, **optimizer_arguments(optimizer))
    if not info.builtin and [group.get("lr") for group in made.param_groups] != wanted:
        raise TaskError(
            f"{info.path} does not take {len(wanted)} parameter groups with learning rates of "
            f"their own; use another optimizer, or no groups"
        )
    if info.switches:
        made.train()  # type: ignore[attr-defined]
    return made


def fused_where_it_can(optimizer: Fields, model: nn.Module) -> Fields:
    """The optimizer, its `fused` off where its class has no fused kernel for the model.

    There is one for some types of device only, and none for complex parameters or sparse gradients.
    """
    if not optimizer.get("fused"):
        return optimizer
    places = optimizer_info(optimizer["name"], "optimizer.name").fused
    trained = (p for p in model.parameters() if p.requires_grad)
    fits = all(p.device.type in places and p.is_floating_point() for p in trained)
    sparse = any(
        module.sparse
        for module in model.modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag)
    )
    return optimizer if fits and not sparse else {**optimizer, "fused": False}


def _class(info: OptimizerInfo) -> Callable[..., torch.optim.Optimizer]:
    if is_own(info.path):
        own = loaded(info.path)
        if own is None:
            raise TaskError(f"{info.path} is not loaded; its file is not beside the study's")
        return own
    module, _, name = info.path.rpartition(".")
    found: type[torch.optim.Optimizer] | None = getattr(importlib.import_module(module), name, None)
    if found is None:
        raise TaskError(f"{info.path} is not in torch {torch.__version__}; a newer one has it")
    return found


def _muon(
    optimizer: Fields, model: nn.Module, groups: Sequence[ParameterGroup]
) -> torch.optim.Optimizer:
    """Muon takes the weights of two dimensions but for embeddings, as torch's docstring advises."""
    if not hasattr(torch.optim, "Muon"):
        raise TaskError(f"muon is not in torch {torch.__version__}; 2.9 and later have it")
    from lrsearch.recipe.muon import MuonWithAdamW

    info = optimizer_info("muon", "optimizer.name")
    arguments = {**info.defaults, **optimizer_arguments(optimizer)}
    embeddings = {
        id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)
    }
    parameters = dict(model.named_parameters())
    matrices, others = list[Document](), list[Document]()
    for group in groups:
        mine = [parameters[name] for name in group.names]
        of_muon = [p for p in mine if p.ndim == 2 and id(p) not in embeddings]
        rest = [p for p in mine if p.ndim != 2 or id(p) in embeddings]
        matrices += [group.torch_group(of_muon, optimizer["lr"])] if of_muon else []
        others += [group.torch_group(rest, optimizer["lr"])] if rest else []
    if not matrices:
        raise TaskError("muon needs a weight of two dimensions, and the model has none; use adamw")
    return MuonWithAdamW(matrices, others, **arguments)
