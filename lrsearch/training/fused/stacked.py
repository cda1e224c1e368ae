"""One model over stacked weights: the losses, gradients and outputs of several trials at once."""

from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.utils._pytree import PyTree

from lrsearch.task.task import Task
from lrsearch.training.batch_loss import training_loss
from lrsearch.training.data.batches import kinds_of, leaves_of, map_tensors
from lrsearch.training.failures import CohortError
from lrsearch.training.flat_weights import FlatWeights
from lrsearch.training.known_values import Absent
from lrsearch.training.model import Places
from lrsearch.training.recorded_step import Known, Recordings
from lrsearch.training.static_code import is_static


class Part:
    """Neighbouring rows of flat weights that are computed together."""

    def __init__(self, flat_weights: FlatWeights, rows: slice) -> None:
        self.rows = rows
        views = flat_weights.layout.views(flat_weights.weights[rows])
        #: Name to [k, *shape], leaves of the graph.
        self.weights = {name: view.detach().requires_grad_() for name, view in views.items()}
        self.leaves = list(self.weights.values())
        self.ones = torch.ones(len(flat_weights.weights[rows]), device=flat_weights.weights.device)
        self.grads = list(flat_weights.layout.views(flat_weights.grads[rows]).values())
        self.others = {name: stacked[rows] for name, stacked in flat_weights.others.items()}
        #: What a repeated step takes before the batch.
        self.before = [*self.leaves, *self.others.values()]


class Stacked:
    """The calls of a model and its loss, mapped over the rows of flat weights."""

    def __init__(
        self,
        task: Task,
        base: nn.Module,
        *,
        draws: bool,
        recordings: Recordings | None = None,
        absent: Absent = lambda leaf, value: False,
    ) -> None:
        """`base` is what calls stand on, its own numbers are never used.

        `draws`: whether it draws random numbers in training. `recordings` are those of the task,
        `absent` says which values its batches do not have.
        """
        self.task, self.base = task, base
        is_recorded = task.loss is not None and is_static(base, task.loss)
        self._recordings = recordings if is_recorded else None
        self._known = {
            unscaled: Known(absent=absent, unscaled=unscaled) for unscaled in (True, False)
        }
        # "same": one mask for all, which is what each of them alone would draw.
        self._randomness = "same" if draws else "error"
        self._places = Places(base)

    def gradients(
        self,
        part: Part,
        batch: PyTree,
        scales: Tensor | None = None,
        *,
        autocast: AbstractContextManager[None] | None = None,
        count: int = 1,
        add: bool = False,
    ) -> Tensor:
        """The loss of each row, [k], over `count`; its gradient, times `scales`, is in the weights.

        Tensors in `batch` have a leading dimension of rows; `autocast` is for the forward pass and
        the loss; with `add` the gradients come on top of those that are there. Raises what the
        task's code or vmap raises, and CohortError where a parameter has no gradient.
        """
        autocast = autocast or nullcontext()
        known = self._known[scales is None]
        scales = part.ones if scales is None else scales
        key: Hashable = None
        if self._recordings is not None:
            fast_dtype = getattr(autocast, "fast_dtype", None)
            key = (fast_dtype, count, known.unscaled, len(scales), *kinds_of(batch))
            written = None if add else self._recordings.written(key, known.absent)
            if written is not None:
                with torch.no_grad():
                    return written.run(*part.before, *leaves_of(batch), scales, *part.grads)
        arguments = (part.leaves, part.others, batch, scales)
        step = partial(self._losses_and_gradients, tuple(part.weights), autocast, count)
        if self._recordings is None:
            losses, grads = step(*arguments)
        elif not add:
            return self._recordings.write(key, step, arguments, part.grads, known)
        else:
            losses, grads = self._recordings.call(key, step, arguments)
        put = torch._foreach_add_ if add else torch._foreach_copy_
        put(part.grads, grads)
        return losses

    def _losses_and_gradients(
        self,
        names: Sequence[str],
        autocast: AbstractContextManager[None],
        count: int,
        weights: list[Tensor],
        others: Mapping[str, Tensor],
        batch: PyTree,
        scales: Tensor,
    ) -> tuple[Tensor, list[Tensor]]:
        mapped = vmap(self._loss, randomness=self._randomness)
        with autocast:
            losses: Tensor = mapped(dict(zip(names, weights, strict=True)), others, batch)
            if count > 1:
                losses = losses / count
        grads = torch.autograd.grad(losses, weights, scales.to(losses.dtype), allow_unused=True)
        for name, grad in zip(names, grads, strict=True):
            if grad is None:
                raise CohortError(f"the loss does not depend on parameter {name}")
        return losses.detach(), [grad for grad in grads if grad is not None]

    def _loss(
        self, weights: Mapping[str, Tensor], others: Mapping[str, Tensor], batch: PyTree
    ) -> Tensor:
        with self._places.holding(weights, others):
            return training_loss(self.task, self.base, batch)[0]

    def _output(
        self, weights: Mapping[str, Tensor], others: Mapping[str, Tensor], inputs: PyTree
    ) -> PyTree:
        with self._places.holding(weights, others):
            return self.base(inputs)

    def outputs(self, part: Part, inputs: PyTree) -> PyTree:
        """The output of each row for the same inputs, stacked."""
        mapped = vmap(self._output, in_dims=(0, 0, None), randomness=self._randomness)
        return mapped(part.weights, part.others, inputs)


def rows_of(batch: PyTree, rows: slice) -> PyTree:
    """Part of a batch that has a leading dimension of places."""
    return map_tensors(lambda value: value[rows], batch)
