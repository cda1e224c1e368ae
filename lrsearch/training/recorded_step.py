"""Recording a cohort's step once, and repeating its operations from then on.

vmap decides anew in every step what each call of the model becomes: about 0.8 ms a step for an MLP
of three layers, whatever the number of trials, of which repeating the operations saves two thirds
(8 trials: 215 to 155 us each). They give the same bits when repeated. That is true of models in
which nothing but tensors changes from step to step, so only those are recorded (see `static_code`),
and each recording is kept only after it has given the same bits as the model itself.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import PyTree, tree_leaves

from lrsearch.errors import describe
from lrsearch.training.randomness import random_state, set_random_state

log = logging.getLogger("lrsearch")

#: Recording takes 0.2 to 1 s, what 500 to 2,000 repeated steps save: so many come before.
RECORD_AFTER = 500

#: Weights, buffers by name, batch, factors of the losses.
Arguments = tuple[list[Tensor], Mapping[str, Tensor], PyTree, Tensor]
#: Losses [k], and the gradient of each parameter.
Result = tuple[Tensor, list[Tensor]]


class Recordings:
    """Calls as they were recorded, of one task's models."""

    def __init__(self) -> None:
        self._calls: Counter[Hashable] = Counter()
        self._recorded: dict[Hashable, GraphModule] = {}
        self._after = RECORD_AFTER

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Record what is called inside as soon as it is called: to time what it will be like."""
        self._after = 1
        yield
        self._after = RECORD_AFTER

    def call(self, key: Hashable, function: Callable[..., Result], arguments: Arguments) -> Result:
        """What the function gives for (weights, buffers, batch, factors).

        By repeating what was recorded for `key`, which names all that its operations depend on.
        """
        recorded = self._recorded.get(key)
        if recorded is not None:
            with torch.no_grad():
                return recorded(*arguments)  # type: ignore[no-any-return]
        self._calls[key] += 1
        if self._calls[key] == self._after:
            return self._record(key, function, arguments)
        return function(*arguments)

    def _record(
        self, key: Hashable, function: Callable[..., Result], arguments: Arguments
    ) -> Result:
        """Record this call. It is kept only if repeating it gives the same bits."""
        buffers = arguments[1]
        device = arguments[-1].device
        before = {name: value.clone() for name, value in buffers.items()}
        state, started = random_state(device), time.monotonic()

        def again() -> None:
            for name, value in before.items():
                buffers[name].copy_(value)
            set_random_state(state, device)

        recorded, repeated = None, []
        try:
            recorded = record(function, arguments)
            again()
            with torch.no_grad():
                result = recorded(*arguments)
            repeated = [value.clone() for value in tree_leaves([result, buffers])]
        except Exception as error:  # what the recorder does not know; the call itself comes below
            log.info("a cohort's step is not recorded: %s", describe(error)[:200])
        again()
        result = function(*arguments)
        if recorded is not None and all(map(_same, repeated, tree_leaves([result, buffers]))):
            self._recorded[key] = recorded
            log.info("a cohort's step is recorded, in %.1f s", time.monotonic() - started)
        return result


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.nan_to_num(), b.nan_to_num())


def record(function: Callable[..., Result], arguments: Arguments) -> GraphModule:
    """The operations of a call over arguments like these; it runs once, for real.

    Views that change nothing are left out: repeated without gradients they are their source.
    """
    graph = make_fx(function)(*arguments)
    for node in list(graph.graph.nodes):
        source = _source(node)
        if source is not None:
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)
    graph.recompile()
    return graph


_aten = torch.ops.aten
_VIEWS = (_aten.view.default, _aten._unsafe_view.default, _aten.expand.default)


def _source(node: Node) -> Node | None:
    """The argument that a node gives back as it is; None if it does more."""
    if node.op != "call_function" or not node.args or not isinstance(node.args[0], Node):
        return None
    source = node.args[0]
    if node.target is _aten.detach.default:
        return source
    if node.target is _aten.mul.Scalar and node.args[1] == 1:
        return source
    before, after = source.meta.get("tensor_meta"), node.meta.get("tensor_meta")
    if node.target not in _VIEWS or before is None or after is None:
        return None
    return source if (before.shape, before.stride) == (after.shape, after.stride) else None
