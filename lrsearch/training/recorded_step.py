"""Recording a step once, and repeating its operations from then on.

vmap decides anew in every step what each call of the model becomes: about 0.8 ms a step for an MLP
of three layers, whatever the number of trials, of which repeating the operations saves two thirds
(8 trials: 215 to 155 us each). They give the same bits when repeated. That is true of models in
which nothing but tensors changes from step to step, so only those are recorded (see `static_code`),
and each recording is kept only after it has given the same bits as the model itself. So is the form
of it that writes gradients in place (see `written_step`), which takes the place of a recording.
A trial alone takes that form only (see `repeated_step`).
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_leaves

from lrsearch.errors import describe
from lrsearch.training.data.batches import leaves_of
from lrsearch.training.known_values import Absent
from lrsearch.training.same_step import Again, Arguments, Check, Result, same, with_bits
from lrsearch.training.written_step import WrittenStep, written_step

log = logging.getLogger("lrsearch")

#: Recording takes 0.2 to 1 s, what 500 to 2,000 repeated steps save: so many come before.
RECORD_AFTER = 500


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is true of all batches to come."""

    absent: Absent
    #: Whether the factors of the losses are 1.
    unscaled: bool
    #: The dimension of samples; those before it are places.
    samples: int = 1


class Recordings:
    """Calls as they were recorded, of one task's models."""

    def __init__(self) -> None:
        self._calls: Counter[Hashable] = Counter()
        self._recorded: dict[Hashable, GraphModule] = {}
        #: The same, writing gradients where they belong; None where that gives other bits.
        self._written: dict[Hashable, WrittenStep | None] = {}
        #: Of the shortest step that a model alone has done.
        self._seconds: dict[Hashable, float] = {}
        #: Which parameters had a gradient in the first of these.
        self._with_gradient: dict[Hashable, tuple[str, ...]] = {}
        self._after = RECORD_AFTER

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Record what is called inside as soon as it is called: to time what it will be like."""
        self._after = 1
        yield
        self._after = RECORD_AFTER

    def is_due(self, key: Hashable, after: int) -> bool:
        """Whether this step of a trial alone, each of which asks once, is the one to record."""
        self._calls[key] += 1
        return key not in self._written and self._calls[key] >= (1 if self._after == 1 else after)

    def is_prepared(self, key: Hashable) -> bool:
        """Whether `prepare` was called, so that `written` gives a step now or never."""
        return key in self._written

    def note_step(self, key: Hashable, seconds: float, with_gradient: Iterable[str]) -> None:
        """A step that a model has done took so long, and gave these parameters a gradient."""
        self._seconds[key] = min(seconds, self._seconds.get(key, seconds))
        self._with_gradient.setdefault(key, tuple(with_gradient))

    def least_seconds(self, key: Hashable) -> float:
        """The least that was noted; 0 if nothing was."""
        return self._seconds.get(key, 0.0)

    def with_gradient(self, key: Hashable) -> tuple[str, ...] | None:
        """Parameters that had a gradient in the first step noted; None if none was."""
        return self._with_gradient.get(key)

    def prepare(
        self,
        key: Hashable,
        function: Callable[..., Result] | None,
        arguments: Arguments,
        into: list[Tensor],
        data: Known,
    ) -> None:
        """Record the step that `written` gives from now on; without a `function` there is none.

        Nothing is trained: buffers, random numbers and `into` are as before.
        """
        self._written[key] = None
        if function is None:
            return
        again = Again(arguments)
        self._record(key, function, arguments)
        again.restore()
        if key in self._recorded:
            self._written[key] = self._rewrite(key, function, arguments, into, data)

    def written(self, key: Hashable, absent: Absent) -> WrittenStep | None:
        """What `prepare` has made for such data; None without."""
        written = self._written.get(key)
        return written if written is not None and written.holds(absent) else None

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
        """As `call`, with the gradients written where `into` says; the losses.

        From then on `written` may give a step that does so in fewer operations.
        """
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
        again, kept = Again(arguments), [grad.clone() for grad in into]
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
            return with_bits(make, Check(function, arguments, into, data.samples, again))
        except Exception as error:  # an operation that is used in a way not thought of
            log.info("a step is repeated as recorded: %s", describe(error)[:200])
            return None
        finally:
            again.restore()
            torch._foreach_copy_(into, kept)

    def _record(
        self, key: Hashable, function: Callable[..., Result], arguments: Arguments
    ) -> Result:
        """Record this call. It is kept only if repeating it gives the same bits."""
        buffers, again, started = arguments[1], Again(arguments), time.monotonic()
        recorded, repeated = None, []
        try:
            recorded = record(function, arguments)
            again.restore()
            with torch.no_grad():
                result = recorded(*arguments)
            repeated = [value.clone() for value in tree_leaves([result, buffers])]
        except Exception as error:  # what the recorder does not know; the call itself comes below
            log.info("a step is not recorded: %s", describe(error)[:200])
        again.restore()
        result = function(*arguments)
        if recorded is not None and all(map(same, repeated, tree_leaves([result, buffers]))):
            self._recorded[key] = recorded
            log.info("a step is recorded, in %.1f s", time.monotonic() - started)
        return result


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
