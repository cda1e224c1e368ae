"""A trial in training, whatever computes its gradients: optimizer, schedule, average, progress."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.recipe.build_optimizer import build_optimizer, fused_where_it_can
from lrsearch.recipe.build_scheduler import build_schedule
from lrsearch.recipe.plateau import Plateau
from lrsearch.recipe.recipe import Recipe
from lrsearch.task.task import Task
from lrsearch.training.data import Data
from lrsearch.training.ema import Ema
from lrsearch.training.flat_weights import (
    ELEMENTWISE,
    WeightsRow,
    flat_optimizer,
    is_apart,
    move_flat,
    spread_state,
)
from lrsearch.training.precision import MIN_SCALE, autocast, make_scaler
from lrsearch.training.validation import Scores, evaluate
from lrsearch.trial.curve import Validation
from lrsearch.trial.divergence import divergence_limit
from lrsearch.trial.validations import Plan

#: Losses are read from the device, and looked at for divergence, every so many steps.
CHECK_EVERY = 16


class TrialTraining:
    """A trial in training: model, optimizer, scheduler, weight average, and where it stands.

    An engine puts gradients into the model's parameters and calls `update`, then counts the loss.
    """

    #: What computes the gradients, and of how many trials at once.
    engine = "solo"
    cohort = 1

    def __init__(
        self, task: Task, recipe: Recipe, plan: Plan, validation: Data, device: torch.device
    ) -> None:
        self.task, self.recipe, self.plan, self.device = task, recipe, plan, device
        self.validation_data = validation
        #: Called after every batch, trained or validated: the trial gets on.
        self.beat: Callable[[], None] = lambda: None

    def restart(self) -> None:
        """Stand at step 0, whatever was trained before. Raises TaskError if the task's code fails.

        Each engine has its own way to get there, which ends in `begin`.
        """
        raise NotImplementedError

    def begin(self, model: nn.Module, row: WeightsRow | None, *, flat: bool) -> None:
        """Stand at step 0 with this model, whose parameters lie in `row`.

        With `flat` an elementwise optimizer works on the row itself.
        """
        recipe, plan = self.recipe, self.plan
        self.model, self.row = model, row
        #: What is trained.
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        #: Whether the optimizer's parameter is the row.
        self.is_flat = flat and row is not None and recipe.optimizer["name"] in ELEMENTWISE
        self.optimizer = (
            flat_optimizer(fused_where_it_can(recipe.optimizer, model), row)
            if self.is_flat and row is not None
            else build_optimizer(recipe.optimizer, model)
        )
        self.scheduler = build_schedule(
            self.optimizer,
            recipe.schedule,
            total_steps=plan.total_steps,
            warmup=recipe.warmup,
            validations=len(plan.validations),
        )
        #: Scales losses so that fp16 gradients are in range; None where nothing needs it.
        self.scaler = make_scaler(recipe.precision, self.device)
        self.ema: Ema | None = None
        if recipe.ema is not None:
            self.ema = Ema(model, row, span=recipe.ema["epochs"] * plan.steps_per_epoch)
        self.step = 0
        #: How many validations are done.
        self.validated = 0
        self.seconds = 0.0
        #: Loss of the first batch; NaN before it.
        self.start_loss = math.nan
        #: Why the trial diverged, once it has.
        self.diverged: str | None = None
        #: Sum of the losses since the last validation; stays on the device.
        self.loss_sum = torch.zeros((), dtype=wide(self.device), device=self.device)
        #: How many losses `loss_sum` holds.
        self.loss_steps = 0
        #: Both when they were last read.
        self.loss_seen, self.steps_seen = 0.0, 0
        self.lr = self.grad_norm = math.nan

    @property
    def done(self) -> bool:
        return self.step >= self.plan.total_steps or self.diverged is not None

    @property
    def epochs(self) -> float:
        """Epochs trained so far."""
        return self.step / self.plan.steps_per_epoch

    @property
    def position(self) -> int:
        """Steps since the last epoch ended."""
        return self.step % self.plan.steps_per_epoch

    @property
    def next_validation(self) -> int:
        """The step of the validation to come."""
        return self.plan.validations[self.validated]

    @property
    def is_due(self) -> bool:
        """Whether the validation to come is that of this step."""
        left = self.validated < len(self.plan.validations)
        return left and self.diverged is None and self.step >= self.next_validation

    def move(self, row: WeightsRow) -> None:
        """Go on in another row, which holds the same numbers."""
        self.row = row
        if self.is_flat:
            move_flat(self.optimizer, self.recipe.optimizer, row)
        if self.ema is not None:
            self.ema.row = row

    def spread(self) -> None:
        """Let a flat optimizer go on over the model's own parameters, with the same numbers.

        For what a flat one cannot do: leave a parameter without gradient alone, take a sparse one.
        """
        if not self.is_flat or self.row is None:
            return
        self.is_flat = False
        plain = build_optimizer(self.recipe.optimizer, self.model)
        state = spread_state(self.optimizer.state_dict(), self.groups(), self.row.layout)
        plain.load_state_dict(state)
        # The scheduler holds the optimizer: that one stays, with the other's parameters and state.
        self.optimizer.state = plain.state
        for mine, other in zip(self.optimizer.param_groups, plain.param_groups, strict=True):
            mine["params"] = other["params"]

    def groups(self) -> list[list[str]]:
        """Names of the parameters in each group of an elementwise optimizer over them."""
        trained = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        if not is_apart(self.recipe.optimizer):
            return [[name for name, _ in trained]]
        matrices = [name for name, p in trained if p.ndim > 1]
        vectors = [name for name, p in trained if p.ndim <= 1]
        return [group for group in (matrices, vectors) if group]

    def update(self) -> None:
        """Clip the gradients that lie in the parameters, and step optimizer and scheduler.

        Those of a scaled loss are unscaled first; where they overflow, neither steps.
        """
        self.prepare()
        self.conclude_step(stepped=self._step_optimizer())

    def prepare(self) -> None:
        """Make the gradients ready for the optimizer."""
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        validates = self.step + 1 == self.next_validation
        if self.recipe.clip_norm is not None:
            norm = clip_grad_norm_(self.parameters, self.recipe.clip_norm)
        elif validates:
            grads = [p.grad for p in self.parameters if p.grad is not None]
            norm = get_total_norm(g.coalesce().values() if g.is_sparse else g for g in grads)
        if validates:
            self.grad_norm = float(norm)
            self.lr = float(self.optimizer.param_groups[0]["lr"])
        self.gather()

    def conclude_step(self, *, stepped: bool) -> None:
        """What follows the optimizer's step, or its omission."""
        if stepped:
            self.scheduler.step()
        self.step += 1
        self.loss_steps += 1

    def _step_optimizer(self) -> bool:
        """Whether it was done: a loss scaler leaves out a step whose gradients overflow."""
        if self.scaler is None:
            self.optimizer.step()
            return True
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return self.scaler.get_scale() >= scale

    def gather(self) -> None:
        """Bring the gradients to where the optimizer reads them."""

    def looks(self) -> bool:
        """Whether the losses are to be read now."""
        return self.step % CHECK_EVERY == 0 or self.step == self.next_validation

    def look(self, total: float) -> None:
        """Notice a divergence; `total` is the sum of the losses since the last validation."""
        mean = (total - self.loss_seen) / (self.loss_steps - self.steps_seen)
        self.loss_seen, self.steps_seen = total, self.loss_steps
        limit = divergence_limit(self.start_loss)
        if not math.isfinite(total):
            self.diverged = f"training loss is not finite by step {self.step}"
        elif mean > limit:
            self.diverged = f"training loss {mean:.3g} is above {limit:.3g} at step {self.step}"
        elif self.scaler is not None and self.scaler.get_scale() < MIN_SCALE:
            self.diverged = f"gradients overflow fp16 at any scale of the loss by step {self.step}"

    def scores(
        self, weights: dict[str, Tensor] | None = None, *, data: Data | None = None
    ) -> Scores:
        """Validate the model by itself, with these weights and on this data instead if given."""
        self.model.eval()

        def outputs(inputs: Any) -> list[Any]:
            if weights is None:
                return [self.model(inputs)]
            return [torch.func.functional_call(self.model, weights, (inputs,))]

        [scores] = evaluate(
            self.task, data or self.validation_data, outputs, autocast=self.autocast, beat=self.beat
        )
        return scores

    def test_scores(self, data: Data) -> Scores:
        """Of the weights that would be deployed now, on the task's test set."""
        started = time.monotonic()
        if self.ema is not None and self.recipe.weights == "ema":
            scores = self.scores(self.ema.weights(), data=data)
        else:
            with self.averaged():
                scores = self.scores(data=data)
        self.seconds += time.monotonic() - started
        return scores

    def average_scores(self, *, with_ema: bool) -> Scores | None:
        """Validate the averaged weights if asked or deployed."""
        if self.ema is None or not (with_ema or self.recipe.weights == "ema"):
            return None
        started = time.monotonic()
        scores = self.scores(self.ema.weights())
        self.seconds += time.monotonic() - started
        return scores

    def conclude(self, scores: Scores, averaged: Scores | None) -> Validation:
        """The row of a validation of raw and averaged weights; steps the plateau."""
        started = time.monotonic()
        deployed = averaged if averaged is not None and self.recipe.weights == "ema" else scores
        if not math.isfinite(scores.loss):
            self.diverged = f"validation loss is not finite at step {self.step}"
        elif not self._weights_finite():
            self.diverged = f"weights are not finite at step {self.step}"
        elif isinstance(self.scheduler, Plateau):
            self.scheduler.step(scores.loss)
        train_loss = float(self.loss_sum) / max(1, self.loss_steps)
        self.loss_sum.zero_()
        self.loss_seen, self.loss_steps, self.steps_seen = 0.0, 0, 0
        self.validated += 1
        self.seconds += time.monotonic() - started
        return Validation(
            validation=self.validated,
            step=self.step,
            epoch=self.epochs,
            lr=self.lr,
            train_loss=train_loss,
            val_loss=scores.loss,
            val_loss_ema=None if averaged is None else averaged.loss,
            metrics=deployed.metrics,
            metrics_ema=None if averaged is None else averaged.metrics,
            grad_norm=self.grad_norm,
            seconds=self.seconds,
        )

    def _weights_finite(self) -> bool:
        if self.row is not None:
            return math.isfinite(float(self.row.weights.norm()))
        return math.isfinite(float(get_total_norm(p.detach() for p in self.parameters)))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The weights that an optimizer which averages by itself would deploy, for a while."""
        switch = optimizer_info(self.recipe.optimizer["name"], "optimizer").switches
        if switch:
            self.optimizer.eval()  # type: ignore[attr-defined]
        try:
            yield
        finally:
            if switch:
                self.optimizer.train()  # type: ignore[attr-defined]

    def autocast(self) -> AbstractContextManager[Any]:
        """The recipe's precision, for forward passes."""
        return autocast(self.recipe.precision, self.device)


def wide(device: torch.device) -> torch.dtype:
    """The widest type of floats on a device."""
    return torch.float32 if device.type == "mps" else torch.float64
