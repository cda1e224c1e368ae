"""One model over stacked weights: the losses, gradients and outputs of several trials at once."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.utils._pytree import tree_map

from lrsearch.task import Task
from lrsearch.training.arena import Arena


class CohortError(Exception):
    """A fused engine cannot go on; its slots are intact at their last whole step."""


class Part:
    """Neighbouring rows of an arena that are computed together."""

    def __init__(self, arena: Arena, rows: slice) -> None:
        self.rows = rows
        views = arena.layout.views(arena.weights[rows])
        #: Name to [k, *shape], leaves of the graph.
        self.weights = {name: view.detach().requires_grad_() for name, view in views.items()}
        self.leaves = list(self.weights.values())
        self.grads = list(arena.layout.views(arena.grads[rows]).values())
        self.others = {name: stacked[rows] for name, stacked in arena.others.items()}


class Stacked:
    """The calls of a model and its loss, mapped over the rows of an arena."""

    def __init__(self, task: Task, base: nn.Module, *, draws: bool) -> None:
        """`base` is what calls stand on, its own numbers are never used; `draws`: see `drew`."""
        self.task, self.base = task, base
        # "same": one mask for all, which is what each of them alone would draw.
        self._randomness = "same" if draws else "error"
        #: Where modules keep each of their tensors, tied ones in several places; and what is there.
        self._stores = _stores(base)
        self._own = [
            (store, key, store[key]) for places in self._stores.values() for store, key in places
        ]

    def gradients(
        self,
        part: Part,
        inputs: Any,
        targets: Any,
        scales: Tensor | None = None,
        *,
        autocast: AbstractContextManager[Any] | None = None,
        count: int = 1,
        add: bool = False,
    ) -> Tensor:
        """The loss of each row, [k], over `count`; its gradient, times `scales`, is in the arena.

        `inputs` and `targets` have a leading dimension of rows; `autocast` is for the forward pass
        and the loss; with `add` the gradients come on top of those that are there. Raises what the
        task's code or vmap raises, and CohortError where a parameter has no gradient.
        """
        with autocast or nullcontext():
            losses: Tensor = vmap(self._loss, randomness=self._randomness)(
                part.weights, part.others, inputs, targets
            )
            if count > 1:
                losses = losses / count
        weights = torch.ones_like(losses) if scales is None else scales.to(losses.dtype)
        grads = torch.autograd.grad(losses, part.leaves, weights, allow_unused=True)
        for name, grad in zip(part.weights, grads, strict=True):
            if grad is None:
                raise CohortError(f"the loss does not depend on parameter {name}")
        found = [grad for grad in grads if grad is not None]
        if add:
            torch._foreach_add_(part.grads, found)
        else:
            torch._foreach_copy_(part.grads, found)
        return losses.detach()

    def _loss(
        self, weights: Mapping[str, Tensor], others: Mapping[str, Tensor], inputs: Any, targets: Any
    ) -> Tensor:
        return self.task.loss(self._output(weights, others, inputs), targets)

    def _output(
        self, weights: Mapping[str, Tensor], others: Mapping[str, Tensor], inputs: Any
    ) -> Any:
        # As torch.func.functional_call, which looks all names up in each call.
        for values in (weights, others):
            for name, value in values.items():
                for store, key in self._stores[name]:
                    store[key] = value
        try:
            return self.base(inputs)
        finally:
            for store, key, value in self._own:
                store[key] = value

    def outputs(self, part: Part, inputs: Any) -> Any:
        """The output of each row for the same inputs, stacked."""
        mapped = vmap(self._output, in_dims=(0, 0, None), randomness=self._randomness)
        return mapped(part.weights, part.others, inputs)


def _stores(model: nn.Module) -> dict[str, list[tuple[dict[str, Any], str]]]:
    """For each parameter and buffer the dictionaries of modules that hold it, and its key there."""
    names = {id(value): name for name, value in model.named_parameters()}
    names |= {id(value): name for name, value in model.named_buffers()}
    stores: dict[str, list[tuple[dict[str, Any], str]]] = {name: [] for name in names.values()}
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for key, value in store.items():
                if value is not None:
                    stores[names[id(value)]].append((store, key))
    return stores


def drew(call: Callable[[], Any], device: torch.device) -> bool:
    """Whether a call draws from torch's random numbers, whose state is left as it was."""
    before = random_state(device)
    call()
    after = random_state(device)
    set_random_state(before, device)
    return not all(map(torch.equal, before, after))


def random_state(device: torch.device) -> list[Tensor]:
    """Of torch's generators, the processor's and the device's."""
    states = [torch.get_rng_state()]
    if device.type != "cpu":
        states.append(torch.get_device_module(device).get_rng_state())
    return states


def set_random_state(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(states[1])


def rows_of(batch: Any, rows: slice) -> Any:
    """Part of a batch that has a leading dimension of places."""
    return tree_map(lambda value: value[rows], batch)
