"""The numbers of a cohort and the one program that computes them: losses, gradients, averages."""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.utils._pytree import PyTree, tree_map

from lrsearch.task.task import Task
from lrsearch.training.data import Batch
from lrsearch.training.ema import averaged_buffers
from lrsearch.training.failures import CohortError, out_of_memory
from lrsearch.training.flat_weights import FlatWeights
from lrsearch.training.fused.stacked import Part, Stacked, rows_of
from lrsearch.training.known_values import Absent
from lrsearch.training.precision import widest_float
from lrsearch.training.randomness import is_captured, random_state, set_random_state
from lrsearch.training.recorded_step import Recordings

log = logging.getLogger("lrsearch")


class Program:
    """Flat weights, what is kept beside it for each place, and the calls over all of them.

    When memory runs out, fewer places are computed at once.
    """

    def __init__(
        self,
        task: Task,
        base: nn.Module,
        flat_weights: FlatWeights,
        *,
        draws: bool,
        recordings: Recordings | None,
        absent: Absent,
    ) -> None:
        """`base`, `draws`, `recordings`, `absent`: see Stacked."""
        self.task, self.base, self.flat_weights, self.draws = task, base, flat_weights, draws
        self.recordings, self.absent = recordings, absent
        self.device = flat_weights.weights.device
        self.stacked = Stacked(task, base, draws=draws, recordings=recordings, absent=absent)
        #: Sum of each place's losses since its last validation, [K].
        self.loss_sums = torch.zeros(
            flat_weights.size, dtype=widest_float(self.device), device=self.device
        )
        statistics = averaged_buffers(base, task.averaged_buffers)
        #: What is averaged, stacked: weights, then buffers; and the averages.
        self._live = [flat_weights.weights, *(flat_weights.others[name] for name in statistics)]
        self.averages = [torch.zeros_like(value) for value in self._live]
        self._spare = [torch.empty_like(value) for value in flat_weights.others.values()]
        self._others = list(flat_weights.others.values())
        self._at_once = flat_weights.size
        self._cut()

    def _cut(self) -> None:
        starts = range(0, self.flat_weights.size, self._at_once)
        self._parts = [Part(self.flat_weights, slice(a, a + self._at_once)) for a in starts]

    def taken(self, places: Sequence[int], size: int) -> "Program":
        """A new program of `size` places that begins with the numbers of these."""
        flat_weights = self.flat_weights.take(places, size)
        new = Program(
            self.task,
            self.base,
            flat_weights,
            draws=self.draws,
            recordings=self.recordings,
            absent=self.absent,
        )
        mine, theirs = [self.loss_sums, *self.averages], [new.loss_sums, *new.averages]
        for old, copy in zip(mine, theirs, strict=True):
            copy[: len(places)] = old[list(places)]
        return new

    def gradients(
        self,
        batches: Sequence[Batch],
        scales: Tensor | None,
        autocast: AbstractContextManager[None],
    ) -> list[Tensor]:
        """Each place's part of the loss of a step, [K] for each micro-batch.

        The gradients of their sums, times `scales` [K], are in the flat weights. What raises leaves
        buffers and random state as they were. Raises CohortError if memory runs out with one
        place at a time.
        """
        keeps = self.draws and not is_captured(self.device)
        state = random_state(self.device) if keeps else []
        for kept, value in zip(self._spare, self._others, strict=True):
            kept.copy_(value)
        while True:
            try:
                return [
                    self._micro(batch, scales, autocast, len(batches), first=batch is batches[0])
                    for batch in batches
                ]
            except Exception as error:
                for kept, value in zip(self._spare, self._others, strict=True):
                    value.copy_(kept)
                if state:
                    set_random_state(state, self.device)
                if not out_of_memory(error):
                    raise
                self._halve(error)

    def _micro(
        self,
        batch: Batch,
        scales: Tensor | None,
        autocast: AbstractContextManager[None],
        count: int,
        *,
        first: bool,
    ) -> Tensor:
        state = random_state(self.device) if self.draws and len(self._parts) > 1 else []
        losses = []
        for part in self._parts:
            if state:
                set_random_state(state, self.device)  # each part draws what a trial alone would
            scale = None if scales is None else scales[part.rows]
            losses.append(
                self.stacked.gradients(
                    part,
                    batch if len(self._parts) == 1 else rows_of(batch, part.rows),
                    scale,
                    autocast=autocast,
                    count=count,
                    add=not first,
                )
            )
        return losses[0] if len(losses) == 1 else torch.cat(losses)

    def _halve(self, error: Exception) -> None:
        """Compute half as many places at once from now on."""
        if self._at_once == 1:
            raise CohortError("out of memory with one trial at a time") from error
        self._at_once = (self._at_once + 1) // 2
        log.warning("out of memory: %d trials at once from now on", self._at_once)
        self._cut()

    def average(self, weight: float) -> None:
        """Step every place's weight average."""
        torch._foreach_lerp_(self.averages, self._live, weight)

    def outputs(self, inputs: PyTree, places: Sequence[int]) -> list[PyTree]:
        """What the models in these places give for the same inputs.

        Raises CohortError as `gradients` does.
        """
        while True:
            try:
                parts = [self.stacked.outputs(part, inputs) for part in self._parts]
                break
            except Exception as error:
                if not out_of_memory(error):
                    raise
                self._halve(error)
        joined = tree_map(lambda *pieces: torch.cat(pieces), *parts)
        return [tree_map(lambda x: x[place], joined) for place in places]  # noqa: B023
