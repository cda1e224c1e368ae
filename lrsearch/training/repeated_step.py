"""The gradients of a trial alone by repeating a recorded step, in place of its module and autograd.

Autograd, modules and memory of their own for gradients are half of a small model's forward and
backward pass: 325 us by the module, 154 repeated, for the MLP of studies/digits.py (median of 15
turns on one core of a busy Xeon; 281 and 99 for studies/diabetes.py, and no difference for a CNN).
A recording is of one task. Each trial holds it against a step of its own model before it goes on
with it.
"""

from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial

import torch
from torch import Tensor, nn

from lrsearch.task.task import Task
from lrsearch.training.batch_loss import forward_pass, training_loss
from lrsearch.training.compiled_step import CompiledSteps
from lrsearch.training.data.batches import Batch, kinds_of, leaves_of
from lrsearch.training.data.tensors import TensorData
from lrsearch.training.flat_weights import WeightsRow, others
from lrsearch.training.model import Places, hooked
from lrsearch.training.randomness import drew
from lrsearch.training.recorded_step import Known, Recordings
from lrsearch.training.same_step import Again, Check, Result
from lrsearch.training.static_code import is_static
from lrsearch.training.written_step import WrittenStep

#: Recording takes 0.07 to 0.13 s for a small model, what 700 repeated steps save, and up to 1 s for
#: one whose steps are so long (10 ms) that nothing is saved: so many come before.
RECORD_AFTER = 1000


class RepeatedStep:
    """A trial's step as its task's was recorded, once it was, and if it gives the trial's bits."""

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        row: WeightsRow,
        recordings: Recordings,
        data: TensorData,
        autocast: AbstractContextManager[None],
    ) -> None:
        self._task, self._model, self._recordings, self._data = task, model, recordings, data
        self._autocast = autocast
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._weights, self._buffers = list[Tensor](trained.values()), others(model)
        self._before = [*self._weights, *self._buffers.values()]
        views = row.layout.views(row.grads)
        #: Where gradients are written, in the order of the model's parameters.
        self.grads = [views[name] for name in trained]
        self._one = torch.ones((), device=row.weights.device)
        self._known = Known(absent=data.absent, unscaled=True, samples=0)
        self._function = partial(self._loss_and_gradients, tuple(trained), Places(model))
        self._step: WrittenStep | None = None
        #: Whether the model does every step: a repeated one would call no hook of a parameter.
        self._refused = hooked(model) is not None

    def use_compiled(self, steps: CompiledSteps, batch: Batch) -> bool:
        """Do every step by a compiled one; whether there is one, which depends on the model alone.

        It is for a trial at its first step, which `batch` is of. Random numbers would be others.
        """
        arguments = (self._weights, self._buffers, batch, self._one)
        task, again = self._task, Again(arguments)
        if self._refused or task.loss is None or not is_static(self._model, task.loss):
            steps.refuse("a step of the model is not known to run the same operations always")
        elif drew(lambda: forward_pass(task, self._model, batch), self._one.device):
            steps.refuse("the model draws random numbers")
        else:
            again.restore()
            self._step = steps.step(self._key(batch), self._function, arguments, self.grads)
        again.restore()
        return self._step is not None

    def _key(self, batch: Batch) -> Hashable:
        """What the operations of a step depend on, of one task's models."""
        return ("alone", getattr(self._autocast, "fast_dtype", None), *kinds_of(batch))

    def loss(self, batch: Batch) -> Tensor | None:
        """The loss of a batch, its gradients in `grads`; None where the model has to do it."""
        if self._refused:
            return None
        step = self._step or self._find(batch)
        if step is None:
            return None
        with torch.no_grad():
            return step.run(*self._before, *leaves_of(batch), self._one, *self.grads)

    def _find(self, batch: Batch) -> WrittenStep | None:
        """The recorded step, if there is one by now and it gives the bits of this trial's model.

        The step before has to have left a gradient in every parameter.
        """
        if any(p.grad is None or p.grad.is_sparse for p in self._weights):
            return None
        key = self._key(batch)
        arguments = (self._weights, self._buffers, batch, self._one)
        if self._recordings.is_due(key, RECORD_AFTER):
            static = self._task.loss is not None and is_static(self._model, self._task.loss)
            function = self._function if static else None
            self._recordings.prepare(key, function, arguments, self.grads, self._known)
        written = self._recordings.written(key, self._data.absent)
        if written is not None:
            check = Check(self._function, arguments, self.grads, 0, Again(arguments))
            self._refused = bool(check.differences(written, orders=1))
        self._step = None if self._refused else written
        return self._step

    def _loss_and_gradients(
        self,
        names: Sequence[str],
        places: Places,
        weights: list[Tensor],
        buffers: Mapping[str, Tensor],
        batch: Batch,
        factor: Tensor,
    ) -> Result:
        with places.holding(dict(zip(names, weights, strict=True)), buffers), self._autocast:
            loss, _ = training_loss(self._task, self._model, batch)
        grads = torch.autograd.grad(loss, weights, factor.to(loss.dtype))
        return loss.detach(), list(grads)
