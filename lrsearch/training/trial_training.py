"""A trial in training, whatever computes its gradients: optimizer, schedule, average, progress."""

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.utils._pytree import PyTree

from lrsearch.recipe.build_optimizer import build_optimizer, fused_where_it_can
from lrsearch.recipe.build_scheduler import build_schedule
from lrsearch.recipe.parameter_groups import Groups, parameter_groups, recipe_lr
from lrsearch.recipe.recipe import Recipe
from lrsearch.task.task import Task
from lrsearch.training.bare_kernels import BareKernels, bare_kernels
from lrsearch.training.data import Data, part_of
from lrsearch.training.denormals import flushed_steps
from lrsearch.training.ema import Ema
from lrsearch.training.flat_optimizer import (
    ELEMENTWISE,
    OptimizerState,
    flat_optimizer,
    move_flat,
    spread_state,
)
from lrsearch.training.flat_weights import WeightsRow
from lrsearch.training.one_model import OneModel
from lrsearch.training.precision import MIN_SCALE, autocast, make_scaler, widest_float
from lrsearch.training.randomness import OtherState, RandomStates
from lrsearch.training.training import PlannedTraining
from lrsearch.trial.curve import Validation
from lrsearch.trial.divergence import divergence_limit
from lrsearch.trial.validations import Plan

log = logging.getLogger("lrsearch")

#: Losses are read from the device, and looked at for divergence, every so many steps.
CHECK_EVERY = 16


class TrialTraining(PlannedTraining):
    """A trial in training: model, optimizer, scheduler, weight average, and where it stands.

    An engine puts gradients into the model's parameters and calls `update`, then counts the loss.
    """

    #: What computes the gradients, and of how many trials at once.
    engine = "solo"
    cohort = 1
    #: Processes that train it, each on a device.
    processes = 1

    def __init__(
        self, task: Task, recipe: Recipe, plan: Plan, validation: Data, device: torch.device
    ) -> None:
        self.task, self.recipe, self.plan, self.device = task, recipe, plan, device
        self.validation_data = validation
        #: What validations for a rung alone take of it.
        self.rung_data = part_of(validation, plan.samples) if plan.partial else validation
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
        #: Where `random` and `numpy.random` stood when the model was made.
        self.random_at_start = OtherState.now()
        #: What is trained.
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        #: Whether the optimizer's parameter is the row.
        self.is_flat = flat and row is not None and recipe.optimizer_name in ELEMENTWISE
        #: Its parameters by group, one group where the recipe and the task have none.
        self.groups = parameter_groups(recipe.optimizer, model, self._given_groups)
        self.optimizer = (
            flat_optimizer(fused_where_it_can(recipe.optimizer, model), self.groups, row)
            if self.is_flat and row is not None
            else build_optimizer(recipe.optimizer, model, self._given_groups)
        )
        self._flushed = flushed_steps(self.optimizer)
        #: The kernels of its steps; None before the first, and where it is more than kernels.
        self._bare: BareKernels | None = None
        self.scheduler = build_schedule(
            self.optimizer,
            recipe.schedule,
            total_steps=plan.total_steps,
            warmup=recipe.warmup,
            warmup_steps=recipe.warmup_steps,
            validations=plan.rows,
        )
        #: Scales losses so that fp16 gradients are in range; None where nothing needs it.
        self.scaler = make_scaler(recipe.precision, self.device)
        self.ema: Ema | None = None
        if recipe.ema is not None:
            span = recipe.ema["epochs"] * plan.steps_per_epoch
            self.ema = Ema(model, row, span=span, patterns=self.task.averaged_buffers)
        #: What the task's `carry` hands from batch to batch; None without it.
        self.carried: PyTree = None
        self._begin_count()

    def _begin_count(self) -> None:
        #: Metrics of which the log says that they were not finite.
        self.not_finite: set[str] = set()
        self.step = self.began = 0
        #: How many validations are done.
        self.validated = 0
        self.seconds = 0.0
        #: Loss of the first batch; NaN before it.
        self.start_loss = math.nan
        #: Why the trial diverged, once it has.
        self.diverged: str | None = None
        self.kept_weights = None
        self._one_model: OneModel | None = None
        #: Sum of the losses since the last validation; stays on the device.
        self.loss_sum = torch.zeros((), dtype=widest_float(self.device), device=self.device)
        #: How many losses `loss_sum` holds.
        self.loss_steps = 0
        #: Both when they were last read.
        self.loss_seen, self.steps_seen = 0.0, 0
        self.lr = self.grad_norm = math.nan

    def may_save(self) -> bool:
        return True

    def pack(self, pending: Sequence[Validation] = ()) -> bytes:
        from lrsearch.training import checkpoint_state

        return checkpoint_state.pack(self, pending)

    def unpack(self, data: bytes, *, says_where: bool = True) -> list[Validation] | None:
        from lrsearch.training import checkpoint_state

        return checkpoint_state.unpack(self, data, says_where=says_where)

    def random_states(self) -> list[RandomStates]:
        """Where the random streams of other processes that train it are."""
        return []

    def stood(self, data: bytes, others: Sequence[RandomStates], *, branches: bool) -> None:
        """Called where it has come to stand at a checkpoint, see `checkpoint_state.unpack`.

        `others` is what `random_states` gave when that was made.
        """

    def move(self, row: WeightsRow) -> None:
        """Go on in another row, which holds the same numbers."""
        self.row = row
        if self.is_flat:
            move_flat(self.optimizer, self.groups, row)
        if self.ema is not None:
            self.ema.row = row

    def spread(self) -> None:
        """Let a flat optimizer go on over the model's own parameters, with the same numbers.

        For what a flat one cannot do: leave a parameter without gradient alone, take a sparse one.
        """
        if not self.is_flat or self.row is None:
            return
        self.is_flat = False
        plain = build_optimizer(self.recipe.optimizer, self.model, self._given_groups)
        flat = OptimizerState(**self.optimizer.state_dict())
        plain.load_state_dict(vars(spread_state(flat, self.groups, self.row.layout)))
        # The scheduler holds the optimizer: that one stays, with the other's parameters and state.
        self.optimizer.state = plain.state
        for mine, other in zip(self.optimizer.param_groups, plain.param_groups, strict=True):
            mine["params"] = other["params"]

    @property
    def _given_groups(self) -> Groups:
        """What groups the parameters: the recipe's rules, or the task's function."""
        return self.recipe.groups_for(self.task.groups)

    def update(self) -> None:
        """Clip the gradients that lie in the parameters, and step optimizer and scheduler.

        Those of a scaled loss are unscaled first; where they overflow, neither steps.
        """
        self.prepare_gradients()
        self.conclude_step(stepped=self._step_optimizer())

    @property
    def validates_next(self) -> bool:
        """Whether a validation follows the step that is being done."""
        return self.step + 1 == self.next_validation

    def prepare_gradients(self) -> None:
        """Make the gradients ready for the optimizer."""
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        validates = self.validates_next
        if self.recipe.clip_norm is not None:
            norm = clip_grad_norm_(self.parameters, self.recipe.clip_norm)
        elif validates:
            grads = [p.grad for p in self.parameters if p.grad is not None]
            norm = get_total_norm(g.coalesce().values() if g.is_sparse else g for g in grads)
        if validates:
            self.grad_norm = float(norm)
            self.lr = recipe_lr(self.optimizer)
        self.gather_gradients()

    def conclude_step(self, *, stepped: bool) -> None:
        """What follows the optimizer's step, or its omission."""
        if stepped:
            self.scheduler.step()
        self.step += 1
        self.loss_steps += 1

    def _step_optimizer(self) -> bool:
        """Whether it was done: a loss scaler leaves out a step whose gradients overflow."""
        if self.scaler is None:
            with self._flushed:
                if self._bare is None or not self._bare.step():
                    self.optimizer.step()
                    self._bare = bare_kernels(self.optimizer)
            return True
        scale = self.scaler.get_scale()
        with self._flushed:
            self.scaler.step(self.optimizer)
        self.scaler.update()
        return self.scaler.get_scale() >= scale

    def gather_gradients(self) -> None:
        """Bring the gradients to where the optimizer reads them."""

    def is_check_due(self) -> bool:
        """Whether the losses are read from the device now."""
        return self.step % CHECK_EVERY == 0 or self.step == self.next_validation

    @property
    def steps_to_look(self) -> int:
        """Steps to the next at which losses are read, a validation is due or an epoch ends."""
        of_epoch = self.plan.steps_per_epoch
        ends = [CHECK_EVERY - self.step % CHECK_EVERY, of_epoch - self.step % of_epoch]
        return max(1, min(*ends, self.next_validation - self.step))

    def check_losses(self, total: float) -> None:
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

    @property
    def data_due(self) -> Data:
        """What the validation to come takes."""
        return self.rung_data if self.is_partial_next else self.validation_data

    def evaluated(self, *, averaged: bool) -> OneModel:
        """Its model in evaluation mode, with the weights in training or with their average."""
        self.model.eval()
        if not averaged or self.ema is None:
            return self.one_model
        return self.one_model.with_weights(self.ema.weights())

    @property
    def one_model(self) -> OneModel:
        """Its model for evaluations, made for the first."""
        if self._one_model is None:
            self._one_model = OneModel(self.model)
        return self._one_model

    def autocast(self) -> AbstractContextManager[None]:
        """The recipe's precision, for forward passes."""
        return autocast(self.recipe.precision, self.device)
