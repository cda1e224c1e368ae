"""A recipe as `args.yaml` of timm: `python train.py DATA --model NAME --config args.yaml`.

The schedule is stepped on updates (`sched_on_updates`), which timm counts from epochs.
"""

from collections.abc import Callable

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.catalog.schedules import WARMUP_START_FACTOR
from lrsearch.export.header import Origin
from lrsearch.export.target import TORCH, Clock, Target, clock_of, schedule_fields, whole_decay
from lrsearch.plain_data import Document
from lrsearch.recipe.optimizer_arguments import optimizer_arguments
from lrsearch.recipe.recipe import Recipe, without_fused
from lrsearch.trial.rounding import ceil
from lrsearch.user_input import to_yaml

_SCHEDULES = (
    "constant",
    "step",
    "multistep",
    "exponential",
    "cosine",
    "cosine_restarts",
    "linear",
    "polynomial",
    "wsd",
    "inverse_sqrt",
)
TARGET = Target(
    format="timm",
    optimizers=(
        "sgd",
        "adam",
        "adamw",
        "nadam",
        "radam",
        "adamax",
        "adagrad",
        "adadelta",
        "rmsprop",
    ),
    schedules=_SCHEDULES,
    warmable=_SCHEDULES,
)
#: Schedules that timm counts from the first step, so that any warm-up can be taken off them.
_FROM_FIRST_STEP = ("constant", "step", "multistep")
#: Arguments that have a name of their own among timm's.
_NAMED = ("lr", "weight_decay", "momentum", "betas", "eps")


def write(recipe: Recipe, origin: Origin) -> str:
    """Raises SpecError for what timm cannot express."""
    TARGET.check(recipe)
    clock = clock_of(recipe, origin)
    if clock.total % clock.per_epoch:
        raise TARGET.refused(
            f"{clock.total} steps of {clock.per_epoch} an epoch, only whole epochs",
            f"{TORCH}, or give --epochs",
        )
    warm = _warmup(recipe, clock)
    schedule = _SCHEDULERS[recipe.schedule_name](recipe, clock, **schedule_fields(recipe))
    args = {**_run(recipe), **_optimizer(recipe), **warm, **schedule}
    return "".join(f"# {line}\n" for line in origin.lines()) + to_yaml(args)


def _run(recipe: Recipe) -> Document:
    types = {"fp32": None, "bf16": "bfloat16", "fp16": "float16"}
    dtype = types[recipe.precision]
    size = recipe.batch_size
    return {
        "seed": recipe.seed,
        **({} if size is None else {"batch_size": size}),
        "grad_accum_steps": recipe.accumulate,
        "amp": dtype is not None,
        **({} if dtype is None else {"amp_dtype": dtype}),
        "clip_grad": recipe.clip_norm,
        "clip_mode": "norm",
    }


def _optimizer(recipe: Recipe) -> Document:
    optimizer, name = recipe.optimizer, recipe.optimizer_name
    info = optimizer_info(name, "optimizer")
    given = optimizer_arguments(without_fused(optimizer))
    rest = {key: value for key, value in given.items() if key not in _NAMED}
    nesterov = rest.pop("nesterov", False)
    # timm has defaults of its own for these, so they are said.
    said = {
        key: info.taken(optimizer, key)
        for key in ("momentum", "weight_decay", "betas", "eps", "alpha")
        if key in info.fields
    }
    betas, eps = said.pop("betas", None), said.pop("eps", None)
    alpha = {key: said.pop(key) for key in ("alpha",) if key in said}
    return {
        "opt": "momentum" if name == "sgd" and not nesterov else name,  # its sgd is Nesterov's
        "lr": recipe.lr,
        **{"momentum": 0.0, "weight_decay": 0.0, **said},
        **({} if betas is None else {"opt_betas": list(betas)}),
        **({} if eps is None else {"opt_eps": eps}),
        "opt_kwargs": {
            **rest,
            **alpha,
            "filter_bias_and_bn": bool(optimizer.get("weight_decay_exclude_1d")),
        },
    }


def _warmup(recipe: Recipe, clock: Clock) -> Document:
    """Epochs in all, those of the warm-up, and how it begins."""
    in_all = clock.total // clock.per_epoch
    if not clock.warmup:
        return {"epochs": in_all, "warmup_epochs": 0, "warmup_prefix": False}
    start = {"warmup_lr": WARMUP_START_FACTOR * recipe.lr}
    if recipe.schedule_name in _FROM_FIRST_STEP:
        epochs = clock.warmup / clock.per_epoch
        return {"epochs": in_all, "warmup_epochs": epochs, "warmup_prefix": False, **start}
    if clock.warmup % clock.per_epoch:
        raise TARGET.refused(
            f"a warm-up of {clock.warmup} steps of {clock.per_epoch} an epoch before "
            f"{recipe.schedule_name}, only whole epochs",
            f"{TORCH}, or a warm-up of whole epochs",
        )
    warm = clock.warmup // clock.per_epoch
    return {"epochs": in_all - warm, "warmup_epochs": warm, "warmup_prefix": True, **start}


def _scheduled(sched: str, **settings: float | bool | str | list[float]) -> Document:
    return {"sched": sched, "sched_on_updates": True, "cooldown_epochs": 0, **settings}


def _constant(recipe: Recipe, clock: Clock) -> Document:
    return _scheduled("constant")


def _multistep(recipe: Recipe, clock: Clock, *, milestones: list[float], gamma: float) -> Document:
    return _cuts(clock, [max(1, round(part * clock.main)) for part in milestones], gamma)


def _step(recipe: Recipe, clock: Clock, *, step_size: float, gamma: float) -> Document:
    size = max(1, round(step_size * clock.main))
    return _cuts(clock, list(range(size, clock.main, size)), gamma)


def _cuts(clock: Clock, steps: list[int], gamma: float) -> Document:
    """lr times gamma at each of these steps after warm-up.

    timm cuts where a milestone is at most step + 1; half a step keeps rounding out of it.
    """
    epochs = [(clock.warmup + step + 0.5) / clock.per_epoch for step in steps]
    return _scheduled("multistep", decay_milestones=epochs, decay_rate=gamma)


def _exponential(recipe: Recipe, clock: Clock, *, final: float) -> Document:
    each = 1 / clock.per_epoch
    return _scheduled("step", decay_epochs=each, decay_rate=final ** (1 / clock.main))


def _cosine(recipe: Recipe, clock: Clock, *, eta_min: float) -> Document:
    return _scheduled("cosine", min_lr=eta_min * recipe.lr)


def _cosine_restarts(
    recipe: Recipe, clock: Clock, *, T_0: float, T_mult: int, eta_min: float
) -> Document:
    first = max(1, ceil(T_0 * clock.main))
    if T_mult != 1 or first % clock.per_epoch or clock.main % first:
        raise TARGET.refused(
            f"cosine_restarts with cycles of {first} steps and T_mult {T_mult:g}: its cycles are "
            f"equal, of whole epochs, and fill the run"
        )
    return {
        **_scheduled("cosine", min_lr=eta_min * recipe.lr),
        "epochs": first // clock.per_epoch,
        "lr_cycle_limit": clock.main // first,
        "lr_cycle_decay": 1.0,
    }


def _linear(recipe: Recipe, clock: Clock, *, end_factor: float) -> Document:
    return _scheduled("poly", decay_rate=1.0, min_lr=end_factor * recipe.lr)


def _polynomial(recipe: Recipe, clock: Clock, *, power: float) -> Document:
    return _scheduled("poly", decay_rate=power, min_lr=0.0)


def _wsd(recipe: Recipe, clock: Clock, *, decay: float, shape: str) -> Document:
    whole_decay(TARGET, decay, clock)
    share = decay if decay < 1 else clock.main / clock.per_epoch  # from 1 on it means epochs
    return _scheduled("wsd", decay_epochs=share, lr_decay_fn=shape, min_lr=0.0)


def _inverse_sqrt(recipe: Recipe, clock: Clock, *, timescale: float) -> Document:
    scale = timescale * clock.main / clock.per_epoch
    # Its decay to 0 has a step at least: one, at whose beginning lr is not decayed yet.
    one = 1 / clock.main if clock.main > 1 else 1 / clock.per_epoch
    return _scheduled("rsqrt", lr_stable_timescale=scale, decay_epochs=one, min_lr=0.0)


_SCHEDULERS: dict[str, Callable[..., Document]] = {
    "constant": _constant,
    "step": _step,
    "multistep": _multistep,
    "exponential": _exponential,
    "cosine": _cosine,
    "cosine_restarts": _cosine_restarts,
    "linear": _linear,
    "polynomial": _polynomial,
    "wsd": _wsd,
    "inverse_sqrt": _inverse_sqrt,
}
