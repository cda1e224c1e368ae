"""A trial's step as one program that torch's compiler (inductor) has made of it.

The compiler gets the operations of a recorded step (see `recorded_step`), whose shapes are fixed:
it sees no code of the user's, and nothing is asked before a step whether the program still fits. It
adds up in another order than torch's own kernels and contracts products and sums, so a compiled
step equals the model's to rounding, not to the bit. So a trial has it from its first step on or not
at all, and the same recording gives the same program in every process of a machine.

Compiled programs are kept on disk: in the folder that TORCHINDUCTOR_CACHE_DIR names, else in
`lrsearch/compiled` of the user's cache (XDG_CACHE_HOME, else ~/.cache). They are code that later
processes run, so the folder is the user's own, unlike torch's default in /tmp.
"""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule
from torch.utils._pytree import tree_leaves

from lrsearch.errors import describe
from lrsearch.private_files import make_private_folder
from lrsearch.training.recorded_step import record
from lrsearch.training.same_step import Again, Arguments, Result, flat
from lrsearch.training.written_step import WrittenStep

log = logging.getLogger("lrsearch")

#: Largest difference of losses, gradients and buffers from the model's, relative to the largest
#: number of each kind: measured 4e-16 in float64, 6e-7 in float32 (benchmarks/compiled.py).
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-4}
CACHE = "TORCHINDUCTOR_CACHE_DIR"

_aten = torch.ops.aten


class CompiledSteps:
    """The compiled steps of one task's models; each is compiled once."""

    def __init__(self) -> None:
        self._steps: dict[Hashable, WrittenStep | None] = {}
        #: What compiling took, in seconds of the wall's clock.
        self.seconds = 0.0
        #: The largest difference from the model's own steps; see TOLERANCE.
        self.difference = 0.0
        #: Why a step was not compiled, or is not used; None if there was no reason.
        self.reason: str | None = None

    def step(
        self,
        key: Hashable,
        function: Callable[..., Result],
        arguments: Arguments,
        into: list[Tensor],
    ) -> WrittenStep | None:
        """The compiled step for `key`, which names all that its operations depend on.

        None, with a line in the log, where there is none, or where it does not give what `function`
        does for these arguments. Buffers, random numbers and `into` are as before.
        """
        again, kept = Again(arguments), [grad.clone() for grad in into]
        try:
            if key not in self._steps:
                self._steps[key] = self._compiled(function, arguments, into)
                again.restore()
            step = self._steps[key]
            if step is not None and not self._agrees(step, function, arguments, into, again):
                return None
            return step
        finally:
            again.restore()
            torch._foreach_copy_(into, kept)

    def refuse(self, reason: str) -> None:
        """Say, once for each reason, why steps are not compiled."""
        if reason != self.reason:
            log.info("steps are not compiled: %s", reason)
        self.reason = reason

    def _compiled(
        self, function: Callable[..., Result], arguments: Arguments, into: list[Tensor]
    ) -> WrittenStep | None:
        started = time.monotonic()
        try:
            step = compile_step(record(function, arguments), [*flat(arguments), *into], len(into))
        except Exception as error:  # no compiler, or an operation that it does not know
            self.refuse(describe(error)[:200])
            return None
        finally:
            self.seconds += time.monotonic() - started
        log.info("a step is compiled, in %.1f s", time.monotonic() - started)
        return step

    def _agrees(
        self,
        step: WrittenStep,
        function: Callable[..., Result],
        arguments: Arguments,
        into: list[Tensor],
        again: Again,
    ) -> bool:
        """Whether it gives the function's losses, gradients and buffers to rounding."""
        loss, grads = function(*arguments)
        buffers = list(arguments[1].values())
        wanted = [[loss], grads, [value.clone() for value in buffers]]
        again.restore()
        try:
            with torch.no_grad():
                given = [[step.run(*flat(arguments), *into)], into, buffers]
        except Exception as error:  # an operation whose result is not what the compiler expected
            self.refuse(describe(error)[:200])
            return False
        differs = max(map(_difference, given, wanted))
        self.difference = max(self.difference, differs)
        limit = TOLERANCE.get(loss.dtype, TOLERANCE[torch.float32])
        if not differs <= limit:
            self.refuse(f"a compiled step differs by {differs:.1g} from the model's own")
        return differs <= limit


def compile_step(recorded: GraphModule, example: list[Tensor], gradients: int) -> WrittenStep:
    """The program of a recorded step, which writes so many gradients into its last arguments.

    `example` are arguments like those it will be called with. Raises what the compiler does.
    """
    from torch import _inductor
    from torch._inductor import config

    # In this process: a worker that is killed leaves no pool of compilers behind.
    with _cache_of_the_user(), config.patch(compile_threads=1), torch.no_grad():
        program = _inductor.compile(written(recorded, gradients), [*example])

    def run(*arguments: Tensor) -> Tensor:
        loss: Tensor = program(*arguments)[0]
        return loss

    return WrittenStep(run=run, assumed=frozenset())


def written(recorded: GraphModule, gradients: int) -> GraphModule:
    """The same operations; gradients are written into further arguments, the losses given back."""
    graph = Graph()
    graph.output(graph.graph_copy(recorded.graph, {}))
    end = graph.output_node()
    losses, *found = tree_leaves(end.args[0])
    end.args = ((losses,),)
    last = [node for node in graph.nodes if node.op == "placeholder"][-1]
    for number, node in enumerate(found[:gradients]):
        with graph.inserting_after(last):
            last = graph.placeholder(f"into_{number}")
        with graph.inserting_before(end):
            graph.call_function(_aten.copy_.default, (last, node))
    return GraphModule(recorded, graph)


@contextmanager
def _cache_of_the_user() -> Iterator[None]:
    """Let what is compiled be kept in the user's cache, unless a folder was named for it."""
    named = os.environ.get(CACHE)
    # torch itself puts its default there when it is first asked for the folder.
    if named and not named.startswith(str(Path(tempfile.gettempdir()) / "torchinductor_")):
        yield
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "lrsearch" / "compiled"
    make_private_folder(folder)
    os.environ[CACHE] = str(folder)
    try:
        yield
    finally:
        if named is None:
            del os.environ[CACHE]
        else:
            os.environ[CACHE] = named


def _difference(given: list[Tensor], wanted: list[Tensor]) -> float:
    """The largest difference, relative to the largest number in any of them."""
    pairs = [(_wide(a), _wide(b)) for a, b in zip(given, wanted, strict=True) if b.numel()]
    largest = max((float(b.abs().max()) for _, b in pairs), default=0.0) or 1.0
    return max((float((a - b).abs().max()) for a, b in pairs), default=0.0) / largest


def _wide(value: Tensor) -> Tensor:
    return value.to(torch.complex128 if value.is_complex() else torch.float64)
