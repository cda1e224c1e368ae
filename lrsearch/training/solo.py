"""One trial, trained by itself from any step to any later one."""

import time
from collections.abc import Iterator

import torch

from lrsearch.recipe.recipe import Recipe
from lrsearch.task.task import Task
from lrsearch.training.batch_loss import initial_state, training_loss
from lrsearch.training.conclude import conclude
from lrsearch.training.data import Batch, Data
from lrsearch.training.flat_weights import Layout
from lrsearch.training.model import make_model
from lrsearch.training.randomness import seed_model
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
    ) -> None:
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
        self._batches: Iterator[Batch] | None = None
        self.carried = initial_state(self.task, model)

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
        for parameter in self.parameters:  # optimizer.zero_grad(), without 7 us for its profiler
            parameter.grad = None
        batches = self._epoch()
        losses = [self._backward(next(batches)) for _ in range(self.recipe.accumulate)]
        if self.step == 0:
            self.start_loss = sum(float(loss) for loss in losses)
        self.update()
        if self.ema is not None:
            self.ema.update()
        for loss in losses:
            self.loss_sum += loss

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
        if not self.is_flat:
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
