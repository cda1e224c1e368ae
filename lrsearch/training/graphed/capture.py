"""A step as one graph, where the device has such: on a CPU it is called as it is."""

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

import torch

from lrsearch.errors import describe

log = logging.getLogger("lrsearch")

#: Steps of the training that come before a capture, so that libraries have chosen their kernels and
#: have their workspaces: torch's own `make_graphed_callables` has as many.
WARM_STEPS = 3

#: What is repeated.
Call = Callable[[], None]


class Graph(Protocol):
    """The device's work of a call, over the same memory; making it does none of it."""

    def __init__(self, call: Call) -> None: ...
    def replay(self) -> None: ...


class CudaGraph:
    """See Graph. Raises RuntimeError where the call waits for the device."""

    def __init__(self, call: Call) -> None:
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            call()

    def replay(self) -> None:
        """In the current stream."""
        self._graph.replay()


def aside(call: Call) -> None:
    """Call in a CUDA stream of its own, as a capture needs it of the calls before."""
    current, other = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    other.wait_stream(current)
    with torch.cuda.stream(other):
        call()
    current.wait_stream(other)


#: By type of device: how a call is captured, and how those before it are made.
GRAPHS: Mapping[str, tuple[type[Graph], Callable[[Call], None]]] = {"cuda": (CudaGraph, aside)}


class Repeated:
    """A call that is made again and again: as it is at first, then as its graph."""

    def __init__(self, call: Call, device: torch.device) -> None:
        self._call, self._before = call, WARM_STEPS
        self._kind = GRAPHS.get(device.type)
        self._graph: Graph | None = None

    def run(self) -> None:
        """Once more. Raises what the call does, while it is not captured."""
        if self._graph is None and self._kind is not None and not self._before:
            self._capture(self._kind[0])
        if self._graph is not None:
            self._graph.replay()
        elif self._kind is None:
            self._call()
        else:
            self._kind[1](self._call)
            self._before -= 1

    def _capture(self, kind: type[Graph]) -> None:
        try:
            self._graph = kind(self._call)
        except RuntimeError as error:  # such as a model that reads from the device
            log.info("a cohort's step is not captured: %s", describe(error)[:200])
            self._kind = None
