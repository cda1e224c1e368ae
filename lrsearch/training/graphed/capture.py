"""A step as one CUDA graph; on other devices it is called as it is."""

import logging

import torch

from lrsearch.errors import describe
from lrsearch.training.graphed.step import Step

log = logging.getLogger("lrsearch")

#: Steps of the training that come before a capture, so that libraries have chosen their kernels and
#: have their workspaces: torch's own `make_graphed_callables` has as many.
WARM_STEPS = 3


class Repeated:
    """Does a step again and again: the first times as it is, then as the graph of it."""

    def __init__(self, step: Step) -> None:
        self.step, self._done = step, 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._captures = step.position.device.type == "cuda"

    def run(self) -> None:
        """One step, in the current stream. Raises what the step does, in the first times."""
        if self._graph is not None:
            self._graph.replay()
            return
        if not self._captures:
            self.step.run()
            return
        if self._done >= WARM_STEPS:
            self._capture()
            self.run()
            return
        self._done += 1
        self._aside()

    def _aside(self) -> None:
        """A step in a stream of its own, as a capture needs it of those before."""
        current, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(current)
        with torch.cuda.stream(aside):
            self.step.run()
        current.wait_stream(aside)

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.step.run()
        except RuntimeError as error:  # such as a model that reads from the device
            log.info("a cohort's step is not captured: %s", describe(error)[:200])
            self._captures = False
        else:
            self._graph = graph
