"""A task's model, new and checked."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lrsearch.errors import LrsearchError, TaskError, describe
from lrsearch.task.task import Task
from lrsearch.training.number_types import check_type


def make_model(task: Task, device: torch.device) -> nn.Module:
    """A new model on the device, weights drawn from torch's global generator.

    Raises TaskError unless the task gives a module with a parameter to train.
    """
    try:
        model = task.model()
    except LrsearchError:
        raise
    except Exception as error:
        raise TaskError(f"the task's model() raised {describe(error)}") from error
    if not isinstance(model, nn.Module):
        raise TaskError(f"the task's model() gave {type(model).__name__}, but a Module is needed")
    parameters = list(model.named_parameters())
    if not any(p.requires_grad for _, p in parameters):
        raise TaskError("the task's model has no parameter to train")
    lazy = [name for name, p in parameters if is_lazy(p)]
    if lazy:
        raise TaskError(
            f"the task's model() gave a lazy module, {lazy[0]} has no shape; run the model on a "
            f"batch in model()"
        )
    meta = [name for name, p in parameters if p.is_meta]
    if meta:
        raise TaskError(
            f"the task's model() gave a model on the device meta, {meta[0]} has no numbers; build "
            f"it without torch.device('meta'), or call to_empty(device='cpu') and initialise it"
        )
    for name, value in chain(model.named_parameters(), model.named_buffers()):
        check_type(value, device, f"the model's {name}")
    return model.to(device)


def hooked(model: nn.Module) -> str | None:
    """A parameter that calls somebody when its gradient comes; None if there is none."""
    for name, p in model.named_parameters():
        if p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None):
            return name
    return None


#: Where a module keeps its parameters or its buffers.
Store = dict[str, Tensor | None]


def stores_of(model: nn.Module) -> dict[str, list[tuple[Store, str]]]:
    """For each parameter and buffer the dictionaries of modules that hold it, and its key there.

    Tied ones are in several places.
    """
    names = {id(value): name for name, value in model.named_parameters()}
    names |= {id(value): name for name, value in model.named_buffers()}
    stores: dict[str, list[tuple[Store, str]]] = {name: [] for name in names.values()}
    for module in model.modules():
        for store in cast("tuple[Store, Store]", (module._parameters, module._buffers)):
            for key, value in store.items():
                if value is not None:
                    stores[names[id(value)]].append((store, key))
    return stores


class Places:
    """Where a model keeps its parameters and buffers, looked up once for many calls."""

    def __init__(self, model: nn.Module, names: Collection[str] | None = None) -> None:
        """Those of these names; all if None."""
        stores = stores_of(model)
        self._stores = stores if names is None else {name: stores[name] for name in names}
        self._own = [
            (store, key, store[key]) for places in self._stores.values() for store, key in places
        ]

    @contextmanager
    def holding(self, *weights: Mapping[str, Tensor]) -> Iterator[None]:
        """Let the model have these parameters and buffers, by name, for a while.

        As `torch.func.functional_call`, for calls that take the model itself.
        """
        for values in weights:
            for name, value in values.items():
                for store, key in self._stores[name]:
                    store[key] = value
        try:
            yield
        finally:
            for store, key, mine in self._own:
                store[key] = mine
