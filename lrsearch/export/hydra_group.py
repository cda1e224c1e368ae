"""A recipe as a config group of Hydra: `optimizer` and `scheduler` that `instantiate` makes.

Both are partial: the optimizer takes the parameters, a scheduler the optimizer. The numbers of
steps are those of the recipe's length.
"""

import math
from collections.abc import Callable, Sequence

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import WARMUP_START_FACTOR
from lrsearch.export.header import Origin
from lrsearch.export.target import Clock, Target, clock_of, schedule_fields
from lrsearch.plain_data import Document
from lrsearch.recipe.optimizer_arguments import optimizer_arguments
from lrsearch.recipe.recipe import Recipe
from lrsearch.trial.rounding import ceil
from lrsearch.trial.validations import make_plan
from lrsearch.user_input import to_yaml

_WARMABLE = (
    "constant",
    "step",
    "multistep",
    "exponential",
    "cosine",
    "cosine_restarts",
    "linear",
    "polynomial",
)
TARGET = Target(
    format="hydra",
    optimizers=tuple(name for name in OPTIMIZERS if name != "muon"),
    schedules=(*_WARMABLE, "plateau", "cyclic", "one_cycle"),
    warmable=_WARMABLE,
    has_exclude_1d=False,
)


def write(recipe: Recipe, origin: Origin) -> str:
    """Raises SpecError for what needs code."""
    TARGET.check(recipe)
    clock = clock_of(recipe, origin)
    arguments = optimizer_arguments(recipe.optimizer)
    path = optimizer_info(recipe.optimizer_name, "optimizer").path
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in arguments.items()}
    group = {
        "optimizer": _partial(path, plain),
        **_warmup(clock),
        "scheduler": _scheduler(recipe, clock, origin),
        "warmup_steps": clock.warmup,
        "total_steps": clock.total,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "accumulate": recipe.accumulate,
        "clip_norm": recipe.clip_norm,
        "precision": recipe.precision,
        "seed": recipe.seed,
        "params": recipe.params,
    }
    return "".join(f"# {line}\n" for line in origin.lines()) + to_yaml(group)


def _partial(path: str, arguments: Document) -> Document:
    return {"_target_": path, "_partial_": True, "_convert_": "all", **arguments}


def _warmup(clock: Clock) -> Document:
    if not clock.warmup:
        return {}
    linear = {"start_factor": WARMUP_START_FACTOR, "total_iters": clock.warmup}
    return {"warmup": _partial("torch.optim.lr_scheduler.LinearLR", linear)}


def _scheduler(recipe: Recipe, clock: Clock, origin: Origin) -> Document:
    fields = schedule_fields(recipe)
    if recipe.schedule_name == "plateau":
        torch_class, arguments = "ReduceLROnPlateau", _plateau(clock, origin, **fields)
    elif recipe.schedule_name == "one_cycle":
        torch_class, arguments = "OneCycleLR", _one_cycle(recipe, clock, **fields)
    else:
        torch_class, make = _SCHEDULERS[recipe.schedule_name]
        arguments = make(recipe, clock.main, **fields)
    return _partial(f"torch.optim.lr_scheduler.{torch_class}", arguments)


def _constant(recipe: Recipe, steps: int) -> Document:
    return {"factor": 1.0}


def _step(recipe: Recipe, steps: int, *, step_size: float, gamma: float) -> Document:
    return {"step_size": max(1, round(step_size * steps)), "gamma": gamma}


def _multistep(
    recipe: Recipe, steps: int, *, milestones: Sequence[float], gamma: float
) -> Document:
    return {"milestones": [max(1, round(part * steps)) for part in milestones], "gamma": gamma}


def _exponential(recipe: Recipe, steps: int, *, final: float) -> Document:
    return {"gamma": final ** (1 / steps)}


def _cosine(recipe: Recipe, steps: int, *, eta_min: float) -> Document:
    return {"T_max": steps, "eta_min": eta_min * recipe.lr}


def _cosine_restarts(
    recipe: Recipe, steps: int, *, T_0: float, T_mult: int, eta_min: float
) -> Document:
    first = max(1, ceil(T_0 * steps))
    return {"T_0": first, "T_mult": int(T_mult), "eta_min": eta_min * recipe.lr}


def _linear(recipe: Recipe, steps: int, *, end_factor: float) -> Document:
    return {"start_factor": 1.0, "end_factor": end_factor, "total_iters": steps}


def _polynomial(recipe: Recipe, steps: int, *, power: float) -> Document:
    return {"total_iters": steps, "power": power}


def _cyclic(
    recipe: Recipe, steps: int, *, base_factor: float, step_size_up: float, mode: str
) -> Document:
    return {
        "base_lr": base_factor * recipe.lr,
        "max_lr": recipe.lr,
        "step_size_up": max(1, round(step_size_up * steps)),
        "mode": mode,
        "cycle_momentum": False,
    }


def _plateau(
    clock: Clock, origin: Origin, *, factor: float, patience: float, metric: str, mode: str
) -> Document:
    plan = make_plan(
        steps_per_epoch=clock.per_epoch,
        total_steps=clock.total,
        validate_steps=origin.validate_every.steps,
        validate_fraction=origin.validate_every.fraction,
        validate_rungs=origin.validate_every.rungs,
        rungs=origin.rungs,
    )
    return {
        "mode": mode if metric == "objective" else "min",
        "factor": factor,
        "patience": round(patience * len(plan.validations)),
        "threshold": 0.0,
    }


def _one_cycle(
    recipe: Recipe,
    clock: Clock,
    *,
    pct_start: float,
    div_factor: float,
    final_div_factor: float,
    cycle_momentum: bool,
) -> Document:
    while pct_start * clock.total == 1:  # torch would divide by 0
        pct_start = math.nextafter(pct_start, 1)
    momenta: Document = {}
    if cycle_momentum:
        info = optimizer_info(recipe.optimizer_name, "optimizer")
        assert info.momentum is not None  # a recipe is checked for it
        value = info.taken(recipe.optimizer, info.momentum)
        top = float(value[0] if info.momentum == "betas" else value or 0.95)
        momenta = {"max_momentum": top, "base_momentum": max(0.0, top - 0.1)}
    return {
        "max_lr": recipe.lr,
        "total_steps": clock.total,
        "pct_start": pct_start,
        "div_factor": div_factor,
        "final_div_factor": final_div_factor,
        "cycle_momentum": cycle_momentum,
        **momenta,
    }


#: Name to torch's class and what makes its arguments from the steps after warm-up.
_SCHEDULERS: dict[str, tuple[str, Callable[..., Document]]] = {
    "constant": ("ConstantLR", _constant),
    "step": ("StepLR", _step),
    "multistep": ("MultiStepLR", _multistep),
    "exponential": ("ExponentialLR", _exponential),
    "cosine": ("CosineAnnealingLR", _cosine),
    "cosine_restarts": ("CosineAnnealingWarmRestarts", _cosine_restarts),
    "linear": ("LinearLR", _linear),
    "polynomial": ("PolynomialLR", _polynomial),
    "cyclic": ("CyclicLR", _cyclic),
}
