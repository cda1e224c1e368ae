"""One trial, trained by itself from any step to any later one."""

import time
from collections.abc import Iterator
from itertools import chain, islice

import torch

from lrsearch.recipe.recipe import Recipe
from lrsearch.task.task import Task
from lrsearch.training.batch_loss import initial_state, training_loss
from lrsearch.training.compiled_step import CompiledSteps
from lrsearch.training.conclude import conclude
from lrsearch.training.data import Batch, Data, TensorData
from lrsearch.training.flat_weights import Layout, WeightsRow
from lrsearch.training.model import make_model
from lrsearch.training.randomness import seed_model
from lrsearch.training.recorded_step import Recordings
from lrsearch.training.repeated_step import RepeatedStep
from lrsearch.training.scoring import score_average, score_raw
from lrsearch.training.second_order import backward_with_graph, is_second_order
from lrsearch.training.trial_training import TrialTraining
from lrsearch.trial.curve import Measurement
from lrsearch.trial.validations import Plan


class SoloTraining(TrialTraining):
    """One trial, its gradients computed by its own module: the engine for every model.

    Weights come from `torch.manual_seed(recipe.seed)` (`random` and `numpy.random` are seeded too)
    and training goes on with these streams, so one process trains one trial at a time. Raises
    TaskError if the task's code fails.
    """

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        plan: Plan,
        splits: tuple[Data, Data],
        device: torch.device,
        recordings: Recordings | None = None,
        compiled: CompiledSteps | None = None,
    ) -> None:
        """`recordings` are those of the task; None to have every step by the module itself.

        `compiled` likewise, for a trial whose steps are to be compiled where they can be.
        """
        self._recordings, self._compiled = recordings, compiled
        self.train_data, validation = splits
        super().__init__(task, recipe, plan, validation, device)
        self.is_second_order = is_second_order(recipe.optimizer_name)
        self.restart()

    def restart(self) -> None:
        """Stand at step 0, whatever was trained before."""
        seed_model(self.recipe.seed)
        model = make_model(self.task, self.device)
        layout = Layout.of(model)
        row = None if layout is None else layout.row(model)
        # torch's fused kernels give other bits for a row than for each tensor; the user's own
        # script, which has the tensors, is to repeat ours.
        # A loss scaler looks for gradients in the optimizer's parameters before they are gathered.
        plain = not self.recipe.optimizer.get("fused") and self.recipe.precision != "fp16"
        self.begin(model, row, flat=plain)
        self._grads = [] if row is None else _in_order(self.model, row.layout.views(row.grads))
        self._repeated = self._repeated_step(model, row)
        self.engine = "compiled" if self._uses_compiled() else "solo"
        #: Whether the gradients of the step that is being done are in the row already.
        self._written = False
        self._batches: Iterator[Batch] | None = None
        self.carried = initial_state(self.task, model)

    def _repeated_step(self, model: torch.nn.Module, row: WeightsRow | None) -> RepeatedStep | None:
        """None where a step is more than the gradients of one loss, or a batch no fixed tensors."""
        recordings, data = self._recordings, self.train_data
        plain = self.task.loss is not None and self.recipe.accumulate == 1 and self.scaler is None
        if recordings is None or row is None or self.is_second_order or not plain:
            return None
        if not isinstance(data, TensorData):
            return None
        return RepeatedStep(self.task, model, row, recordings, data, self.autocast())

    def _uses_compiled(self) -> bool:
        """Whether every step of the trial is a compiled one."""
        if self._compiled is None:
            return False
        # In bf16 another rounding could not be told from a wrong program.
        if self._repeated is None or self.recipe.precision != "fp32":
            self._compiled.refuse(
                "a step has to be in fp32, of one batch of tensors in memory and one loss"
            )
            return False
        self.model.train()
        first = next(self.train_data.train(self.recipe.seed, 0, 0))
        compiled = self._repeated.use_compiled(self._compiled, first)
        self.beat()
        return compiled

    def advance(self, until: int) -> None:
        """Train up to the step `until`, or until the trial has diverged."""
        started = time.monotonic()
        self.model.train()
        while self.step < until and self.diverged is None:
            self._train_step()
            if self.position == 0:  # what is left of the epoch makes no whole step
                self._batches = None
                self.carried = initial_state(self.task, self.model)
            if self.is_check_due():
                self.check_losses(float(self.loss_sum))
        self.seconds += time.monotonic() - started

    def _epoch(self) -> Iterator[Batch]:
        """The rest of the current epoch's batches; stays open between calls of `advance`."""
        if self._batches is None:
            epoch, position = divmod(self.step, self.plan.steps_per_epoch)
            skip = position * self.recipe.accumulate
            self._batches = self.train_data.train(self.recipe.seed, epoch, skip)
        return self._batches

    def _train_step(self) -> None:
        batches = self._epoch()
        batch = next(batches)
        loss = self._repeat(batch)
        losses = self._do_step(batch, batches) if loss is None else [loss]
        if self.step == 0:
            self.start_loss = sum(float(loss) for loss in losses)
        self.update()
        if self.ema is not None:
            self.ema.update()
        for loss in losses:
            self.loss_sum += loss

    def _repeat(self, batch: Batch) -> torch.Tensor | None:
        """The loss of a step whose gradients are in the row; None where the module has to do it."""
        repeated = self._repeated
        if repeated is None:
            return None
        loss = repeated.loss(batch)
        if loss is not None and not self._written:
            for parameter, grad in zip(repeated.weights, repeated.grads, strict=True):
                parameter.grad = grad
        self._written = loss is not None
        if self._written:
            self.beat()
        return loss

    def _do_step(self, first: Batch, others: Iterator[Batch]) -> list[torch.Tensor]:
        """As `_backward_all`; a recorded step may be held against it."""
        repeated = self._repeated
        if repeated is None or repeated.refused:
            return self._backward_all(first, others)
        before = repeated.before(first, self.plan.total_steps - self.step)
        losses = self._backward_all(first, others)
        repeated.after(before, losses[0])
        return losses

    def _backward_all(self, first: Batch, others: Iterator[Batch]) -> list[torch.Tensor]:
        """Gradients of a step's micro-batches by the module itself; each one's part of the loss."""
        for parameter in self.parameters:  # optimizer.zero_grad(), without 7 us for its profiler
            parameter.grad = None
        more = islice(others, self.recipe.accumulate - 1)
        return [self._backward(batch) for batch in chain([first], more)]

    def _backward(self, batch: Batch) -> torch.Tensor:
        """Add a micro-batch's part of the gradients; its part of the step's loss."""
        with self.autocast():
            loss, self.carried = training_loss(self.task, self.model, batch, self.carried)
            if self.recipe.accumulate > 1:
                loss = loss / self.recipe.accumulate
        if self.is_second_order:
            backward_with_graph(loss)
        else:
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]
        self.beat()
        return loss.detach()

    def gather_gradients(self) -> None:
        if not self.is_flat or self._written:
            return
        grads = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        is_sparse = any(grad.layout != torch.strided for grad in grads)
        if is_sparse or len(grads) < len(self.parameters):
            self.spread()
        else:
            torch._foreach_copy_(self._grads, grads)

    def validate(self, *, with_ema: bool) -> Measurement:
        """Validate raw weights, averaged ones too if asked or deployed; see `conclude`."""
        raw = score_raw(self, self.data_due)
        return conclude(self, raw, score_average(self, with_ema=with_ema))


def _in_order(model: torch.nn.Module, views: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    return [views[name] for name, p in model.named_parameters() if p.requires_grad]
