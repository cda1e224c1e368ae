"""From a checked optimizer mapping and a model to the real optimizer with its parameter groups."""

import importlib
from collections.abc import Callable, Sequence

import torch
from torch import nn

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.catalog.optimizers import OptimizerInfo
from lrsearch.errors import TaskError
from lrsearch.plain_data import Document, Fields
from lrsearch.recipe.optimizer_arguments import optimizer_arguments

#: Parameters, or groups of them as torch takes them.
Parameters = Sequence[nn.Parameter] | Sequence[Document]


def build_optimizer(optimizer: Fields, model: nn.Module) -> torch.optim.Optimizer:
    """The real optimizer over the parameters of `model` that are trained.

    Raises TaskError where the model has no parameter that the optimizer can take.
    """
    optimizer = fused_where_it_can(optimizer, model)
    info = optimizer_info(optimizer["name"], "optimizer.name")
    exclude = bool(info.taken(optimizer, "weight_decay_exclude_1d"))
    if optimizer["name"] == "muon":
        arguments = {**info.defaults, **optimizer_arguments(optimizer)}
        return _muon(model, arguments, exclude=exclude)
    parameters = [p for p in model.parameters() if p.requires_grad]
    return make_optimizer(optimizer, _groups(parameters) if exclude else parameters)


def make_optimizer(optimizer: Fields, parameters: Parameters) -> torch.optim.Optimizer:
    """The real optimizer, of one class, over these parameters or groups of them."""
    info = optimizer_info(optimizer["name"], "optimizer.name")
    made = _class(info)(parameters, **optimizer_arguments(optimizer))
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
    module, _, name = info.path.rpartition(".")
    found: type[torch.optim.Optimizer] | None = getattr(importlib.import_module(module), name, None)
    if found is None:
        raise TaskError(f"{info.path} is not in torch {torch.__version__}; a newer one has it")
    return found


def _groups(parameters: list[nn.Parameter]) -> list[Document]:
    """Two groups of the parameters, or one: those of one dimension have no weight decay."""
    groups: list[Document] = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _muon(model: nn.Module, arguments: Document, *, exclude: bool) -> torch.optim.Optimizer:
    """Muon takes the weights of two dimensions but for embeddings, as torch's docstring advises."""
    if not hasattr(torch.optim, "Muon"):
        raise TaskError(f"muon is not in torch {torch.__version__}; 2.9 and later have it")
    from lrsearch.recipe.muon import MuonWithAdamW

    embeddings = {
        id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)
    }
    parameters = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in parameters if p.ndim == 2 and id(p) not in embeddings]
    others = [p for p in parameters if p.ndim != 2 or id(p) in embeddings]
    if not matrices:
        raise TaskError("muon needs a weight of two dimensions, and the model has none; use adamw")
    groups: list[Document] = [{"params": others}] if others else []
    if exclude:
        groups = _groups(others)
    return MuonWithAdamW(matrices, groups, **arguments)
