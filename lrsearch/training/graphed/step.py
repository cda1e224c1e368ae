"""One step of all trials: gather, forward, backward, clip, update, average, count the losses.

Nothing in it reads from the device, and nothing that outlives it is allocated: so it can be
captured as it is, and the number of its operations does not depend on how many trials there are.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from lrsearch.training.fused.program import Program
from lrsearch.training.graphed.buffers import WINDOW, Fed, Order, Table
from lrsearch.training.graphed.capture import Repeated
from lrsearch.training.graphed.rows import Kept, Layout
from lrsearch.training.graphed.updates import Rule
from lrsearch.training.trial_training import TrialTraining


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A rectangle of the flat weights that one rule updates: views [k, p]."""

    rule: Rule
    rows: slice
    #: Number of the piece of a row.
    piece: int
    weights: Tensor
    grads: Tensor
    kept: list[Tensor]


class Step:
    """The body of a training step over static memory."""

    def __init__(
        self,
        program: Program,
        layout: Layout,
        kept: Kept,
        order: Order | Fed,
        *,
        autocast: Callable[[], AbstractContextManager[None]],
        averaging: float | None,
    ) -> None:
        """`averaging`: the weight of the newest weights in an average; None without averages."""
        self.program, self.layout, self.kept, self.order = program, layout, kept, order
        self.autocast, self.averaging = autocast, averaging
        weights = program.flat_weights.weights
        size, device = len(weights), weights.device
        self.table = Table(size, layout.pieces, weights.dtype, device)
        #: Steps of the epoch, and of the window, that are done; [1].
        self.position, self.column = (
            torch.zeros(1, dtype=torch.int64, device=device) for _ in range(2)
        )
        #: Loss sums after each step of the window, [WINDOW, K].
        self.sums = torch.zeros(WINDOW, size, dtype=program.loss_sums.dtype, device=device)
        #: Each place's largest norm of gradients, infinite without one; the norms in the last step.
        self.clips = torch.full((size, 1), torch.inf, dtype=weights.dtype, device=device)
        self.norms = torch.zeros(size, 1, dtype=weights.dtype, device=device)
        self._parts = [
            _Part(
                rule=rule,
                rows=rows,
                piece=piece,
                weights=weights[rows, within],
                grads=program.flat_weights.grads[rows, within],
                kept=[stack[rows, within] for stack in kept.stacks[: len(rule.kept)]],
            )
            for rule, rows, piece, within in layout.parts()
        ]
        self._repeated = Repeated(self.run, device)

    def begin(self, position: int) -> None:
        """A new window, which starts after so many steps of the epoch."""
        self.position.fill_(position)
        self.column.zero_()

    def clip(self, places: Sequence[TrialTraining | None]) -> None:
        """Take the largest norms of the recipes that are there."""
        given = [None if each is None else each.recipe.clip_norm for each in places]
        norms = [math.inf if norm is None else norm for norm in given]
        self.clips.copy_(torch.tensor(norms, dtype=torch.float64)[:, None])

    def repeat(self) -> None:
        """Train one step, by its graph where there is one. Raises as `run` does."""
        self._repeated.run()

    def run(self) -> None:
        """Train one step. What the forward pass raises leaves everything as it was."""
        order = self.order
        batches = [order.batch(self.position, number) for number in range(order.accumulate)]
        losses = self.program.gradients(batches, None, self.autocast())
        with torch.no_grad():
            self._clip()
            self._update()
            if self.averaging is not None:
                self.program.average(self.averaging)
            for loss in losses:
                self.program.loss_sums += loss
            self.sums.index_copy_(0, self.column, self.program.loss_sums[None])
            self.position += 1
            self.column += 1

    def _clip(self) -> None:
        """As torch's `clip_grad_norm_`, for each row."""
        grads = self.program.flat_weights.grads
        torch.linalg.vector_norm(grads, dim=1, keepdim=True, out=self.norms)
        factors = (self.clips / (self.norms + 1e-6)).clamp_(max=1.0)
        grads.mul_(torch.where(self.clips < torch.inf, factors, 1.0))

    def _update(self) -> None:
        columns = self.table.columns(self.column)
        for part in self._parts:
            mine = columns[part.piece, part.rows, : part.rule.columns, None].unbind(1)
            part.rule.update(part.weights, part.grads, part.kept, mine)
