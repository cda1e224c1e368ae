"""The gradients of a trial alone by repeating a recorded step, in place of its module and autograd.

Autograd, modules and memory of their own for gradients are half of a small model's forward and
backward pass: 325 us by the module, 154 repeated, for the MLP of studies/digits.py (median of 15
turns on one core of a busy Xeon; 281 and 99 for studies/diabetes.py, and 3 % of a CNN's).
A recording is of one task. Each trial holds it against a step of its own model before it goes on
with it, where its remaining steps save more than that costs.
"""

import time
from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from lrsearch.task.task import Task
from lrsearch.training.batch_loss import forward_pass, training_loss
from lrsearch.training.compiled_step import CompiledSteps
from lrsearch.training.data.batches import Batch, kinds_of, leaves_of
from lrsearch.training.data.tensors import TensorData
from lrsearch.training.flat_weights import WeightsRow, others
from lrsearch.training.max_pooling import pools_images
from lrsearch.training.model import Places, hooked
from lrsearch.training.randomness import drew
from lrsearch.training.recorded_step import Known, Recordings
from lrsearch.training.same_step import Again, Arguments, Result, same
from lrsearch.training.static_code import is_static
from lrsearch.training.written_step import WrittenStep

#: So many steps of a process come before its recording: recording takes 0.07 to 0.13 s for a small
#: model, what 700 repeated steps save.
RECORD_AFTER = 1000
#: Seconds of a step from which on more of them come before, in proportion. Recording takes 30 to
#: 150 steps more, 0.3 to 1 s for steps of 7 to 25 ms, and a repeated step saves 0.1 to 0.5 ms,
#: however long it is (the models of benchmarks/zoo.py). A model that pools images saves a fifth of
#: its step and is recorded as early as a short one.
LONG_STEP = 0.002
#: What holding a recording against the model costs, in steps of it, with what may come of a saving
#: that was measured too large: a trial that has less to save does not begin.
CHECK_STEPS = 2.0


@dataclass(frozen=True, kw_only=True)
class Before:
    """What was before a step that the model does."""

    batch: Batch
    #: Held against the model in this step; None if nothing is.
    step: WrittenStep | None
    #: Buffers and random numbers; None if nothing is held against the model.
    again: Again | None
    #: Of the process's clock, in seconds.
    started: float


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
        self._row, self._autocast = row, autocast
        self._one = torch.ones((), device=row.weights.device)
        self._known = Known(absent=data.absent, unscaled=True, samples=0)
        self._step: WrittenStep | None = None
        #: Of the first batch; all have the same.
        self._key: Hashable = None
        #: Whether the model does every step: a repeated one would call no hook of a parameter.
        self.refused = hooked(model) is not None

    @cached_property
    def _parameters(self) -> dict[str, nn.Parameter]:
        """What is trained."""
        return {name: p for name, p in self._model.named_parameters() if p.requires_grad}

    @cached_property
    def _used(self) -> dict[str, Tensor]:
        """Those that get a gradient; all where no step of the task has shown which do."""
        names = self._recordings.with_gradient(self._key)
        given = self._parameters.items()
        return {name: p for name, p in given if names is None or name in names}

    @cached_property
    def weights(self) -> list[Tensor]:
        """Parameters that get a gradient, in the order of the model's."""
        return [*self._used.values()]

    @cached_property
    def _buffers(self) -> dict[str, Tensor]:
        """What a step may read beside these weights."""
        idle = {name: p.detach() for name, p in self._parameters.items() if name not in self._used}
        return {**others(self._model), **idle}

    @cached_property
    def _before(self) -> list[Tensor]:
        return [*self.weights, *self._buffers.values()]

    @cached_property
    def grads(self) -> list[Tensor]:
        """Where gradients are written, in the order of `weights`."""
        views = self._row.layout.views(self._row.grads)
        return [views[name] for name in self._used]

    @cached_property
    def _pools_images(self) -> bool:
        return pools_images(self._model)

    @cached_property
    def _function(self) -> partial[Result]:
        return partial(self._loss_and_gradients, tuple(self._used), Places(self._model))

    def _arguments(self, batch: Batch) -> Arguments:
        return self.weights, self._buffers, batch, self._one

    def use_compiled(self, steps: CompiledSteps, batch: Batch) -> bool:
        """Do every step by a compiled one; whether there is one, which depends on the model alone.

        It is for a trial at its first step, which `batch` is of. Random numbers would be others.
        """
        arguments = self._arguments(batch)
        task, again = self._task, Again(arguments)
        if self.refused or task.loss is None or not is_static(self._model, task.loss):
            steps.refuse("a step of the model is not known to run the same operations always")
        elif drew(lambda: forward_pass(task, self._model, batch), self._one.device):
            steps.refuse("the model draws random numbers")
        else:
            again.restore()
            self._step = steps.step(self._kind(batch), self._function, arguments, self.grads)
        again.restore()
        return self._step is not None

    def _kind(self, batch: Batch) -> Hashable:
        """What the operations of a step depend on, of one task's models."""
        return ("alone", getattr(self._autocast, "fast_dtype", None), *kinds_of(batch))

    def loss(self, batch: Batch) -> Tensor | None:
        """The loss of a batch, its gradients in `grads`; None where the model has to do it."""
        if self._step is None:
            return None
        with torch.no_grad():
            return self._run(self._step, batch)

    def _run(self, step: WrittenStep, batch: Batch) -> Tensor:
        return step.run(*self._before, *leaves_of(batch), self._one, *self.grads)

    def before(self, batch: Batch, steps_left: int) -> Before:
        """Call it before a step that the model does, unless `refused`, and `after` after it.

        The trial has so many `steps_left`, this one among them.
        """
        step = self._find(batch)
        if step is not None and step.saves * steps_left < CHECK_STEPS:
            self.refused, step = True, None
        again = None if step is None else Again(self._arguments(batch))
        return Before(batch=batch, step=step, again=again, started=time.process_time())

    def _find(self, batch: Batch) -> WrittenStep | None:
        """The recorded step, if there is one by now."""
        recordings, is_first = self._recordings, self._key is None
        key = self._key = self._kind(batch) if is_first else self._key
        # A step of the trial's own comes before: it shows which parameters get a gradient.
        if not is_first and recordings.is_due(key, self._record_after(key)):
            static = self._task.loss is not None and is_static(self._model, self._task.loss)
            function = self._function if static else None
            recordings.prepare(key, function, self._arguments(batch), self.grads, self._known)
        written = recordings.written(key, self._data.absent)
        self.refused = written is None and recordings.is_prepared(key)
        return written

    def _record_after(self, key: Hashable) -> int:
        if self._pools_images:
            return RECORD_AFTER
        return round(RECORD_AFTER * max(1.0, self._recordings.least_seconds(key) / LONG_STEP))

    def after(self, before: Before, loss: Tensor) -> None:
        """Repeat from the next step on, if the recorded step gives what the model has just given.

        Buffers, random numbers and gradients stay as the model has left them.
        """
        if self.refused:
            return
        grads = {name: p.grad for name, p in self._parameters.items() if p.grad is not None}
        if any(grad.is_sparse for grad in grads.values()):
            self.refused = True
        elif before.step is None or before.again is None:
            self._recordings.note_step(self._key, time.process_time() - before.started, grads)
            self.refused = self._recordings.with_gradient(self._key) != tuple(grads)
        else:
            wanted = [loss, *grads.values()]
            is_same = grads.keys() == self._used.keys() and self._agrees(before, wanted)
            self.refused, self._step = not is_same, before.step if is_same else None

    def _agrees(self, before: Before, wanted: Sequence[Tensor]) -> bool:
        """Whether it gives the loss and gradients wanted, the model's buffers, random numbers."""
        step, again = before.step, before.again
        assert step is not None
        assert again is not None
        now = Again(self._arguments(before.batch))
        again.restore()
        with torch.no_grad():
            given = [self._run(step, before.batch), *self.grads]
        is_same = now.is_now() and all(map(same, given, wanted))
        now.restore()
        return is_same

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
