"""The training loop: one trial, from any step to any later one."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_, get_total_norm

from lrsearch.errors import TaskError
from lrsearch.lookup import optimizer_info
from lrsearch.plateau import Plateau
from lrsearch.recipe import Recipe
from lrsearch.rungs import Plan, divergence_limit
from lrsearch.task import Task, describe
from lrsearch.training.data import Batch, Data
from lrsearch.training.ema import Ema

#: Losses are read from the device, and looked at for divergence, every so many steps.
CHECK_EVERY = 16


@dataclass(frozen=True, kw_only=True)
class Validation:
    """One row of a trial's curve."""

    #: 1-based.
    validation: int
    step: int
    epoch: float
    #: Learning rate of the last step.
    lr: float
    #: Mean over the steps since the last validation.
    train_loss: float
    val_loss: float
    #: Of the averaged weights, where they were validated.
    val_loss_ema: float | None
    #: Of the deployed weights.
    metrics: dict[str, float]
    #: Total L2 norm of the last step's gradient, before clipping.
    grad_norm: float
    #: Training and validation time of the trial so far.
    seconds: float


class Training:
    """A trial in training: model, optimizer, scheduler, weight average, and where it stands.

    Weights come from `torch.manual_seed(recipe.seed)` and training goes on with that random
    stream, so one process trains one trial at a time. Raises TaskError if the task's code fails.
    """

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        plan: Plan,
        splits: tuple[Data, Data],
        device: torch.device,
    ) -> None:
        self.task, self.recipe, self.plan, self.device = task, recipe, plan, device
        self.train_data, self.validation_data = splits
        self.restart()

    def restart(self) -> None:
        """Stand at step 0, whatever was trained before."""
        task, recipe, plan, device = self.task, self.recipe, self.plan, self.device
        torch.manual_seed(recipe.seed)
        self.model = make_model(task, device)
        #: What is trained.
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer, self.scheduler = recipe.build(
            self.model,
            steps_per_epoch=plan.steps_per_epoch,
            epochs=None if recipe.steps else recipe.epochs,
            validations=len(plan.validations),
        )
        self.ema: Ema | None = None
        if recipe.ema is not None:
            self.ema = Ema(self.model, span=recipe.ema["epochs"] * plan.steps_per_epoch)
        self.step = 0
        #: How many validations are done.
        self.validated = 0
        self.seconds = 0.0
        #: Loss of the first batch; NaN before it.
        self.start_loss = math.nan
        #: Why the trial diverged, once it has.
        self.diverged: str | None = None
        wide = torch.float32 if device.type == "mps" else torch.float64
        #: Sum of the losses since the last validation; stays on the device.
        self.loss_sum = torch.zeros((), dtype=wide, device=device)
        #: How many losses `loss_sum` holds.
        self.loss_steps = 0
        #: Both when they were last read.
        self.loss_seen, self.steps_seen = 0.0, 0
        self.lr = self.grad_norm = math.nan
        #: Called after every batch, trained or validated: the trial gets on.
        self.beat: Callable[[], None] = lambda: None
        self._batches: Iterator[Batch] | None = None

    @property
    def done(self) -> bool:
        return self.step >= self.plan.total_steps or self.diverged is not None

    @property
    def epochs(self) -> float:
        """Epochs trained so far."""
        return self.step / self.plan.steps_per_epoch

    @property
    def next_validation(self) -> int:
        """The step of the validation to come."""
        return self.plan.validations[self.validated]

    def autocast(self) -> AbstractContextManager[Any]:
        if self.recipe.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def advance(self, until: int) -> None:
        """Train up to the step `until`, or until the trial has diverged."""
        started = time.monotonic()
        self.model.train()
        while self.step < until and self.diverged is None:
            batch = next(self._epoch(), None)
            if batch is None:  # the epoch is over
                self._batches = None
                continue
            self._train_step(*batch)
            if self.step % CHECK_EVERY == 0 or self.step == self.next_validation:
                self._check_loss()
        self.seconds += time.monotonic() - started

    def _epoch(self) -> Iterator[Batch]:
        """The rest of the current epoch's batches; stays open between calls of `advance`."""
        if self._batches is None:
            epoch, position = divmod(self.step, self.plan.steps_per_epoch)
            self._batches = self.train_data.train(self.recipe.seed, epoch, position)
        return self._batches

    def _train_step(self, inputs: Any, targets: Any) -> None:
        for parameter in self.parameters:  # optimizer.zero_grad(), without 7 us for its profiler
            parameter.grad = None
        with self.autocast():
            loss = self.task.loss(self.model(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip_norm is not None:
            norm = clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        if self.step + 1 == self.next_validation:
            if self.recipe.clip_norm is None:
                norm = get_total_norm(p.grad for p in self.model.parameters() if p.grad is not None)
            self.grad_norm = float(norm)
            self.lr = float(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()
        self.scheduler.step()
        if self.ema is not None:
            self.ema.update()
        if self.step == 0:
            self.start_loss = float(loss.detach())
        self.loss_sum += loss.detach()
        self.loss_steps += 1
        self.step += 1
        self.beat()

    def _check_loss(self) -> None:
        total = float(self.loss_sum)
        mean = (total - self.loss_seen) / (self.loss_steps - self.steps_seen)
        self.loss_seen, self.steps_seen = total, self.loss_steps
        limit = divergence_limit(self.start_loss)
        if not math.isfinite(total):
            self.diverged = f"training loss is not finite by step {self.step}"
        elif mean > limit:
            self.diverged = f"training loss {mean:.3g} is above {limit:.3g} at step {self.step}"

    def validate(self, *, with_ema: bool) -> Validation:
        """Validate raw weights, averaged ones too if asked or deployed, and step the plateau."""
        started = time.monotonic()
        with self._averaged():
            val_loss, metrics = self._evaluate(None)
        val_loss_ema = None
        if self.ema is not None and (with_ema or self.recipe.weights == "ema"):
            val_loss_ema, metrics_ema = self._evaluate(self.ema.weights())
            if self.recipe.weights == "ema":
                metrics = metrics_ema
        if not math.isfinite(val_loss):
            self.diverged = f"validation loss is not finite at step {self.step}"
        elif not self._weights_finite():
            self.diverged = f"weights are not finite at step {self.step}"
        elif isinstance(self.scheduler, Plateau):
            self.scheduler.step(val_loss)
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
            val_loss=val_loss,
            val_loss_ema=val_loss_ema,
            metrics=metrics,
            grad_norm=self.grad_norm,
            seconds=self.seconds,
        )

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The weights that an optimizer which averages by itself would deploy, for a while."""
        switch = optimizer_info(self.recipe.optimizer["name"], "optimizer").switches
        if switch:
            self.optimizer.eval()  # type: ignore[attr-defined]
        yield
        if switch:
            self.optimizer.train()  # type: ignore[attr-defined]

    def _weights_finite(self) -> bool:
        return math.isfinite(float(get_total_norm(p.detach() for p in self.model.parameters())))

    @torch.no_grad()
    def _evaluate(self, weights: dict[str, torch.Tensor] | None) -> tuple[float, dict[str, float]]:
        """Loss and metrics, averaged by sample count, with these weights instead if given."""
        self.model.eval()
        scores = {"": self.task.loss, **self.task.metrics}
        totals = dict.fromkeys(scores, 0.0)
        samples = 0
        for (inputs, targets), size in self.validation_data.validation():
            with self.autocast():
                if weights is None:
                    output = self.model(inputs)
                else:
                    output = torch.func.functional_call(self.model, weights, (inputs,))
                for name, score in scores.items():
                    totals[name] += float(score(output, targets)) * size
            samples += size
            self.beat()
        means = {name: total / samples for name, total in totals.items()}
        return means.pop(""), means


def make_model(task: Task, device: torch.device) -> torch.nn.Module:
    """A new model on the device, weights drawn from torch's global generator."""
    try:
        model = task.model()
    except Exception as error:
        raise TaskError(f"the task's model() raised {describe(error)}") from error
    if not isinstance(model, torch.nn.Module):
        raise TaskError(f"the task's model() gave {type(model).__name__}, but a Module is needed")
    if not any(p.requires_grad for p in model.parameters()):
        raise TaskError("the task's model has no parameter to train")
    return model.to(device)
