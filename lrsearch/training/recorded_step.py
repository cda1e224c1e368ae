"""Recording a cohort's step once, and repeating its operations from then on.

vmap decides anew in every step what each call of the model becomes: about 0.8 ms a step for an MLP
of three layers, whatever the number of trials, of which repeating the operations saves two thirds
(8 trials: 215 to 155 us each). They give the same bits when repeated. That is true of models in
which nothing but tensors changes from step to step, so only those are recorded (see `static_code`),
and each recording is kept only after it has given the same bits as the model itself. So is the form
of it that writes gradients in place (see `written_step`), which takes the place of a recording.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import PyTree, tree_leaves

from lrsearch.errors import describe
from lrsearch.training.data.batches import leaves_of, map_tensors
from lrsearch.training.randomness import random_state, set_random_state
from lrsearch.training.written_step import Absent, AsRecorded, WrittenStep, written_step

log = logging.getLogger("lrsearch")

#: Recording takes 0.2 to 1 s, what 500 to 2,000 repeated steps save: so many come before.
RECORD_AFTER = 500

#: Orders of a batch's samples in which a written step has to give the bits of the model.
ORDERS = 8

#: Weights, buffers by name, batch, factors of the losses.
Arguments = tuple[list[Tensor], Mapping[str, Tensor], PyTree, Tensor]
#: Losses [k], and the gradient of each parameter.
Result = tuple[Tensor, list[Tensor]]


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is true of all batches to come."""

    absent: Absent
    #: Whether the factors of the losses are 1.
    unscaled: bool


class Recordings:
    """Calls as they were recorded, of one task's models."""

    def __init__(self) -> None:
        self._calls: Counter[Hashable] = Counter()
        self._recorded: dict[Hashable, GraphModule] = {}
        #: The same, writing gradients where they belong; None where that gives other bits.
        self._written: dict[Hashable, WrittenStep | None] = {}
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

    def write(
        self,
        key: Hashable,
        function: Callable[..., Result],
        arguments: Arguments,
        into: list[Tensor],
        data: Known,
    ) -> Tensor:
        """As `call`, with the gradients written where `into` says; the losses."""
        written = self._written.get(key)
        if written is not None and written.holds(data.absent):
            with torch.no_grad():
                return written.run(*_flat(arguments), *into)
        losses, grads = self.call(key, function, arguments)
        torch._foreach_copy_(into, grads)
        if key in self._recorded and key not in self._written:
            self._written[key] = self._rewrite(key, function, arguments, into, data)
        return losses

    def _rewrite(
        self,
        key: Hashable,
        function: Callable[..., Result],
        arguments: Arguments,
        into: list[Tensor],
        data: Known,
    ) -> WrittenStep | None:
        """What was recorded, with gradients written; None unless it gives the function's bits."""
        again, kept = _Again(arguments), [grad.clone() for grad in into]
        before = len(arguments[0]) + len(arguments[1])
        make = partial(
            written_step,
            self._recorded[key],
            gradients=len(into),
            batch=slice(before, before + len(leaves_of(arguments[2]))),
            ones=arguments[3] if data.unscaled else None,
            absent=data.absent,
        )
        try:
            return _with_bits(make, function, arguments, into, again)
        except Exception as error:  # an operation that is used in a way not thought of
            log.info("a cohort's step is repeated as recorded: %s", describe(error)[:200])
            return None
        finally:
            again.restore()
            torch._foreach_copy_(into, kept)

    def _record(
        self, key: Hashable, function: Callable[..., Result], arguments: Arguments
    ) -> Result:
        """Record this call. It is kept only if repeating it gives the same bits."""
        buffers, again, started = arguments[1], _Again(arguments), time.monotonic()
        recorded, repeated = None, []
        try:
            recorded = record(function, arguments)
            again.restore()
            with torch.no_grad():
                result = recorded(*arguments)
            repeated = [value.clone() for value in tree_leaves([result, buffers])]
        except Exception as error:  # what the recorder does not know; the call itself comes below
            log.info("a cohort's step is not recorded: %s", describe(error)[:200])
        again.restore()
        result = function(*arguments)
        if recorded is not None and all(map(_same, repeated, tree_leaves([result, buffers]))):
            self._recorded[key] = recorded
            log.info("a cohort's step is recorded, in %.1f s", time.monotonic() - started)
        return result


class _Again:
    """Buffers and random numbers as they were before a call, to call once more."""

    def __init__(self, arguments: Arguments) -> None:
        self.buffers, self.device = arguments[1], arguments[-1].device
        self.before = {name: value.clone() for name, value in self.buffers.items()}
        self.state = random_state(self.device)

    def restore(self) -> None:
        for name, value in self.before.items():
            self.buffers[name].copy_(value)
        set_random_state(self.state, self.device)


def _with_bits(
    make: Callable[..., WrittenStep],
    function: Callable[..., Result],
    arguments: Arguments,
    into: list[Tensor],
    again: _Again,
) -> WrittenStep | None:
    """A step with all changes that keep the bits of losses, gradients and buffers."""
    as_recorded = AsRecorded()
    while True:
        written = make(as_recorded=as_recorded)
        other = _differences(written, function, arguments, into, again)
        if not other:
            return written
        gradients = frozenset(number - 1 for number in other if 0 < number <= len(into))
        if len(gradients) == len(other) and not gradients <= as_recorded.gradients:
            as_recorded = replace(as_recorded, gradients=as_recorded.gradients | gradients)
        elif not as_recorded.sums:  # what differs in the forward pass differs in all gradients
            as_recorded = AsRecorded(sums=True)
        else:
            return None


def _differences(
    written: WrittenStep,
    function: Callable[..., Result],
    arguments: Arguments,
    into: list[Tensor],
    again: _Again,
) -> set[int]:
    """Numbers among (losses, *gradients, *buffers) that are not the function's to the bit.

    Samples are taken in several orders: another order of a sum rounds differently in some only.
    """
    weights, buffers, batch, factors = arguments
    for shift in range(ORDERS):
        case = (weights, buffers, map_tensors(partial(_rolled, shift=shift), batch), factors)
        losses, grads = function(*case)
        wanted = [losses, *grads, *(value.clone() for value in buffers.values())]
        again.restore()
        with torch.no_grad():
            losses = written.run(*_flat(case), *into)
        given = [losses, *into, *buffers.values()]
        other = {i for i, (a, b) in enumerate(zip(given, wanted, strict=True)) if not _same(a, b)}
        again.restore()
        if other:
            return other
    return set()


def _rolled(values: Tensor, shift: int) -> Tensor:
    """Samples in another order, [places, samples, ...]; shared by all places where they were."""
    if not shift or values.ndim < 2:
        return values
    if values.stride(0) == 0:
        return values[0].roll(shift, 0).expand(values.shape)
    return values.roll(shift, 1)


def _flat(arguments: Arguments) -> list[PyTree]:
    weights, buffers, batch, factors = arguments
    return [*weights, *buffers.values(), *leaves_of(batch), factors]


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
