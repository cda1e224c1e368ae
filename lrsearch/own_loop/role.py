"""One optimizer of a run, its schedule and its weight average, driven by the optimizer's hooks."""

import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from lrsearch.errors import SpecError, TaskError
from lrsearch.own_loop.average import Average
from lrsearch.own_loop.parameters import Given, named_module
from lrsearch.recipe.build_optimizer import build_optimizer
from lrsearch.recipe.build_scheduler import build_schedule
from lrsearch.recipe.parameter_groups import Groups, recipe_lr
from lrsearch.recipe.plateau import Plateau
from lrsearch.recipe.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """The clock of one optimizer, in its own steps."""

    steps_per_epoch: int
    total_steps: int


class Ramp:
    """The learning rates of a range test, one a step, in place of a schedule."""

    def __init__(self, optimizer: torch.optim.Optimizer, lrs: tuple[float, ...]) -> None:
        self._optimizer, self._lrs = optimizer, lrs
        self._position = 0
        self._set()

    def step(self) -> None:
        self._position = min(self._position + 1, len(self._lrs) - 1)
        self._set()

    def state_dict(self) -> dict[str, int]:
        return {"position": self._position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        (self._position,) = state.values()

    def _set(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self._lrs[self._position] * group.get("lr_scale", 1.0)


class Role:
    """An optimizer that the recipe gives a script, by the name that the script gave it."""

    def __init__(
        self, name: str, model: nn.Module, optimizer: torch.optim.Optimizer, horizon: Horizon
    ) -> None:
        self.name, self.model, self.optimizer, self.horizon = name, model, optimizer, horizon
        #: None until `follow` gives it.
        self.schedule: LRScheduler | Ramp
        self.average: Average | None = None
        #: Optimizer steps so far; one that a loss scaler skips is none.
        self.step = 0
        #: The recipe's lr in the last step; before the first, in the first.
        self.lr = recipe_lr(optimizer)

    def follow(self, recipe: Recipe, lrs: tuple[float, ...] | None) -> None:
        """Attach the recipe's schedule, or these learning rates, and its weight average."""
        horizon = self.horizon
        self.schedule = (
            Ramp(self.optimizer, lrs)
            if lrs is not None
            else build_schedule(
                self.optimizer,
                recipe.schedule,
                total_steps=horizon.total_steps,
                warmup=recipe.warmup,
                warmup_steps=recipe.warmup_steps,
                validations=max(1, round(horizon.total_steps / horizon.steps_per_epoch)),
            )
        )
        if recipe.ema is not None:
            span = recipe.ema["epochs"] * horizon.steps_per_epoch
            self.average = Average(self.model, span)
        self.lr = recipe_lr(self.optimizer)
        self.set_lrs = self.lrs()

    def recipe_lr(self) -> float:
        """The recipe's own lr in the step to come."""
        return recipe_lr(self.optimizer)

    def lrs(self) -> list[float]:
        """Of each parameter group now."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def advance(self) -> None:
        """The optimizer has stepped: so do the schedule and the average.

        Beyond the horizon lr stays: torch's OneCycleLR has no step after its last.
        """
        self.lr = recipe_lr(self.optimizer)
        self.step += 1
        if self.step == 1:
            # Who wraps the optimizer's step, as accelerate does for fp16, hears of it from torch.
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Seems like `optimizer.step", UserWarning)
                self.schedule.step()
        elif self.step <= self.horizon.total_steps:
            self.schedule.step()
        self.set_lrs = self.lrs()
        if self.average is not None:
            self.average.update()

    def see(self, value: float | None) -> None:
        """Tell a plateau schedule what a validation has measured."""
        if isinstance(self.schedule, Plateau):
            self.schedule.step(value)
            self.set_lrs = self.lrs()

    def state_dict(self) -> dict[str, float]:
        return {"step": self.step, "lr": self.lr}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        step, self.lr = state.values()
        self.step = int(step)

    def restored(self) -> None:
        """The optimizer has the learning rates that it had."""
        self.set_lrs = self.lrs()

    def listen(self, before: "Callable[[Role], None]", after: "Callable[[Role], None]") -> None:
        """Call these before and after each step that is done."""

        def pre(optimizer: torch.optim.Optimizer, *_: object) -> None:
            before(self)

        def post(optimizer: torch.optim.Optimizer, *_: object) -> None:
            if not _was_skipped(optimizer):
                after(self)

        self.optimizer.register_step_pre_hook(pre)
        self.optimizer.register_step_post_hook(post)


def _was_skipped(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a loss scaler left this step out.

    A GradScaler does not call the optimizer then; but a fused one it calls, with the number of
    overflows as `found_inf`, and the kernel does nothing.
    """
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)


def make_role(name: str, given: Given, recipe: Recipe, steps_per_epoch: int) -> Role:
    """The recipe's optimizer over what a script gave `run.build`.

    Raises TaskError where the optimizer does not fit, SpecError for a recipe without a horizon.
    """
    if isinstance(steps_per_epoch, bool) or not isinstance(steps_per_epoch, int):
        raise TaskError(f"steps_per_epoch = {steps_per_epoch!r}, but a whole number is needed")
    if steps_per_epoch < 1:
        raise TaskError(
            f"steps_per_epoch = {steps_per_epoch}, but at least 1 is needed; the loader is empty?"
        )
    model, groups = named_module(given)
    optimizer = build_optimizer(recipe.optimizer, model, _groups(recipe, groups))
    total = recipe.total_steps(steps_per_epoch)
    horizon = Horizon(steps_per_epoch=steps_per_epoch, total_steps=total)
    return Role(name, model, optimizer, horizon)


def _groups(recipe: Recipe, given: Groups) -> Groups:
    """The groups of the recipe, or those of the script; they cannot both be."""
    own = recipe.groups
    if isinstance(own, str):
        if given is None:
            raise TaskError("the recipe's groups are the script's, but run.build was given none")
        return given
    if own is not None and given is not None:
        raise SpecError("the recipe has groups, and run.build was given groups; leave one out")
    return own if given is None else given


def untrained(roles: Collection[Role]) -> list[str]:
    """Names of parameters that require a gradient, of the roles' modules, that no role trains."""
    trained = {
        id(p) for role in roles for group in role.optimizer.param_groups for p in group["params"]
    }
    found: dict[str, None] = {}
    for role in roles:
        for name, parameter in nn.Module.named_parameters(role.model):
            if parameter.requires_grad and id(parameter) not in trained:
                found[name] = None
    return list(found)
