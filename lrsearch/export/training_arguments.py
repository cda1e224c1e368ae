"""A recipe as `TrainingArguments` of Hugging Face's transformers (version 5), as Python code.

The learning rates are those that `Recipe.build` gives, but for the first steps of the warm-up:
transformers begins it at 0, torch at lr * 1e-8.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.export.header import Origin
from lrsearch.export.source import literal
from lrsearch.export.target import TORCH, Clock, Target, clock_of, schedule_fields, whole_decay
from lrsearch.export.torch_script import template, wrapped
from lrsearch.plain_data import Document, Fields
from lrsearch.recipe.recipe import Recipe
from lrsearch.trial.rounding import ceil

#: Arguments that `optim_args` takes (transformers 5, trainer_optimizer.py).
_OPTIM_ARGS = {
    "sgd": ("momentum", "dampening", "nesterov"),
    "adagrad": ("lr_decay", "eps"),
    "rmsprop": ("momentum", "alpha", "eps", "centered"),
}
_SCHEDULES = (
    "constant",
    "cosine",
    "cosine_restarts",
    "linear",
    "polynomial",
    "wsd",
    "inverse_sqrt",
)
TARGET = Target(
    format="transformers",
    optimizers=("adamw", "adam", "sgd", "adagrad", "rmsprop"),
    schedules=_SCHEDULES,
    warmable=_SCHEDULES,
)
#: What the trainer does whatever its arguments say.
NO_DECAY = (
    "the Trainer leaves biases and the weights of norms without weight decay; the recipe's decay "
    "holds for all parameters (torch and timm express that)"
)


@dataclass(frozen=True, kw_only=True)
class _Scheduler:
    name: str
    arguments: Fields = field(default_factory=dict)


def write(recipe: Recipe, origin: Origin) -> str:
    """Raises SpecError for what the arguments cannot express."""
    TARGET.check(recipe)
    arguments = {**_run(recipe, origin), **_optimizer(recipe), **_schedule(recipe, origin)}
    return template("transformers.py.jinja").render(
        origin=[wrapped(f"{line}.") for line in origin.lines()],
        arguments=[(literal(key), literal(value)) for key, value in arguments.items()],
        params=[(literal(key), literal(value)) for key, value in recipe.params.items()],
    )


def notes(recipe: Recipe) -> tuple[str, ...]:
    """What the trainer does otherwise than the recipe."""
    optimizer = recipe.optimizer
    info = optimizer_info(recipe.optimizer_name, "optimizer")
    decays = "weight_decay" in info.fields and info.taken(optimizer, "weight_decay")
    return (NO_DECAY,) if decays and not optimizer.get("weight_decay_exclude_1d") else ()


def _run(recipe: Recipe, origin: Origin) -> Document:
    precisions = {"fp32": {}, "bf16": {"bf16": True}, "fp16": {"fp16": True}}
    # The trainer makes an optimizer step of the last batches of an epoch, however few they are.
    is_counted = recipe.epochs is None or recipe.accumulate > 1
    total = recipe.total_steps(origin.steps_per_epoch)
    size = recipe.batch_size
    return {
        **({"max_steps": total} if is_counted else {"num_train_epochs": recipe.epochs}),
        **({} if size is None else {"per_device_train_batch_size": size}),
        "dataloader_drop_last": True,
        "gradient_accumulation_steps": recipe.accumulate,
        "max_grad_norm": recipe.clip_norm or 0.0,
        **precisions[recipe.precision],
        "seed": recipe.seed,
    }


def _optimizer(recipe: Recipe) -> Document:
    optimizer, name = recipe.optimizer, recipe.optimizer_name
    info = optimizer_info(name, "optimizer")
    common = {
        "learning_rate": recipe.lr,
        "weight_decay": float(info.taken(optimizer, "weight_decay")),
    }
    if name in _OPTIM_ARGS:
        TARGET.refuse_arguments(recipe, "initial_accumulator_value")
        words = ",".join(f"{k}={optimizer[k]}" for k in _OPTIM_ARGS[name] if k in optimizer)
        return {"optim": name, **common, **({"optim_args": words} if words else {})}
    TARGET.refuse_arguments(recipe, "amsgrad")
    if name == "adam" and common["weight_decay"]:
        raise TARGET.refused("weight_decay of adam, as an L2 term", f"{TORCH}, or adamw")
    beta1, beta2 = info.taken(optimizer, "betas")
    fused = "_fused" if optimizer.get("fused") else ""
    return {
        "optim": f"adamw_torch{fused}",  # without weight decay it is adam
        **common,
        "adam_beta1": beta1,
        "adam_beta2": beta2,
        "adam_epsilon": info.taken(optimizer, "eps"),
    }


def _schedule(recipe: Recipe, origin: Origin) -> Document:
    clock = clock_of(recipe, origin)
    fields = schedule_fields(recipe)
    scheduler = _SCHEDULERS[recipe.schedule_name](recipe, clock, **fields)
    return {
        "lr_scheduler_type": scheduler.name,
        **({"lr_scheduler_kwargs": dict(scheduler.arguments)} if scheduler.arguments else {}),
        "warmup_steps": _warmup_steps(recipe, clock),
    }


def _warmup_steps(recipe: Recipe, clock: Clock) -> float:
    """The fraction, which stretches with the run, if the trainer makes as many steps of it."""
    if recipe.warmup_steps is not None:
        return clock.warmup
    exact = math.ceil(clock.total * recipe.warmup) == clock.warmup
    return recipe.warmup if exact else clock.warmup


def _constant(recipe: Recipe, clock: Clock) -> _Scheduler:
    return _Scheduler(name="constant_with_warmup")


def _cosine(recipe: Recipe, clock: Clock, *, eta_min: float) -> _Scheduler:
    if not eta_min:
        return _Scheduler(name="cosine")
    return _Scheduler(name="cosine_with_min_lr", arguments={"min_lr_rate": eta_min})


def _cosine_restarts(
    recipe: Recipe, clock: Clock, *, T_0: float, T_mult: int, eta_min: float
) -> _Scheduler:
    if T_mult != 1 or eta_min:
        raise TARGET.refused("cosine_restarts with T_mult above 1 or eta_min above 0")
    first = max(1, ceil(T_0 * clock.main))
    cycles = clock.main / first
    whole = (step / clock.main * cycles % 1.0 for step in range(first, clock.main, first))
    if any(done > 0.5 for done in whole):  # a restart that rounding would put one step later
        cycles *= 1 + 1e-12
    return _Scheduler(name="cosine_with_restarts", arguments={"num_cycles": cycles})


def _linear(recipe: Recipe, clock: Clock, *, end_factor: float) -> _Scheduler:
    if not end_factor:
        return _Scheduler(name="linear")
    if end_factor >= 1:
        return _Scheduler(name="constant_with_warmup")
    arguments = {"lr_end": end_factor * recipe.lr, "power": 1.0}
    return _Scheduler(name="polynomial", arguments=arguments)


def _polynomial(recipe: Recipe, clock: Clock, *, power: float) -> _Scheduler:
    return _Scheduler(name="polynomial", arguments={"lr_end": 0.0, "power": power})


def _wsd(recipe: Recipe, clock: Clock, *, decay: float, shape: str) -> _Scheduler:
    arguments = {"num_decay_steps": whole_decay(TARGET, decay, clock), "decay_type": shape}
    return _Scheduler(name="warmup_stable_decay", arguments=arguments)


def _inverse_sqrt(recipe: Recipe, clock: Clock, *, timescale: float) -> _Scheduler:
    return _Scheduler(name="inverse_sqrt", arguments={"timescale": timescale * clock.main})


_SCHEDULERS: dict[str, Callable[..., _Scheduler]] = {
    "constant": _constant,
    "cosine": _cosine,
    "cosine_restarts": _cosine_restarts,
    "linear": _linear,
    "polynomial": _polynomial,
    "wsd": _wsd,
    "inverse_sqrt": _inverse_sqrt,
}
