"""The source of the call that makes a recipe's scheduler."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.export.source import import_of, literal
from lrsearch.export.torch_groups import has_groups, scales_groups
from lrsearch.plain_data import Unchecked
from lrsearch.recipe import schedule_shapes
from lrsearch.recipe.recipe import Recipe
from lrsearch.task.own_code import is_own, split

#: The peak of each group, before anything has lowered it.
_PEAKS = '[g["lr"] for g in optimizer.param_groups]'


@dataclass(frozen=True, kw_only=True)
class SchedulerCode:
    """The call that makes a scheduler, as source; its `steps` are those after warm-up."""

    torch_class: str
    #: Arguments after the optimizer.
    arguments: Mapping[str, str] = field(default_factory=dict)
    #: Lines before the call.
    before: tuple[str, ...] = ()
    #: Imports beside torch's.
    imports: tuple[str, ...] = ()
    #: Definitions that the call needs.
    helpers: tuple[str, ...] = ()


def _constant(recipe: Recipe) -> SchedulerCode:
    return SchedulerCode(torch_class="ConstantLR", arguments={"factor": "1.0"})


def _step(recipe: Recipe, *, step_size: float, gamma: float) -> SchedulerCode:
    size = f"max(1, round({step_size!r} * steps))"
    arguments = {"step_size": size, "gamma": repr(gamma)}
    return SchedulerCode(torch_class="StepLR", arguments=arguments)


def _multistep(recipe: Recipe, *, milestones: Sequence[float], gamma: float) -> SchedulerCode:
    return SchedulerCode(
        torch_class="MultiStepLR",
        arguments={
            "milestones": "[max(1, round(fraction * steps)) for fraction in fractions]",
            "gamma": repr(gamma),
        },
        before=(f"fractions = {list(milestones)!r}",),
    )


def _exponential(recipe: Recipe, *, final: float) -> SchedulerCode:
    gamma = f"{final!r} ** (1 / steps)"
    return SchedulerCode(torch_class="ExponentialLR", arguments={"gamma": gamma})


def _cosine(recipe: Recipe, *, eta_min: float) -> SchedulerCode:
    if eta_min and scales_groups(recipe):
        return _lambda("cosine", f"steps=steps, eta_min={eta_min!r}")
    floor = f"{eta_min!r} * LR" if eta_min else "0.0"
    arguments = {"T_max": "steps", "eta_min": floor}
    return SchedulerCode(torch_class="CosineAnnealingLR", arguments=arguments)


def _linear(recipe: Recipe, *, end_factor: float) -> SchedulerCode:
    return SchedulerCode(
        torch_class="LinearLR",
        arguments={
            "start_factor": "1.0",
            "end_factor": repr(end_factor),
            "total_iters": "steps",
        },
    )


def _plateau(
    recipe: Recipe, *, factor: float, patience: float, metric: str, mode: str
) -> SchedulerCode:
    return SchedulerCode(
        torch_class="ReduceLROnPlateau",
        arguments={
            **({"mode": literal(mode)} if metric == "objective" else {}),
            "factor": repr(factor),
            "patience": f"round({patience!r} * validations)",
            "threshold": "0.0",
            **({"eps": "0.0"} if scales_groups(recipe) else {}),
        },
    )


def _cyclic(recipe: Recipe, *, base_factor: float, step_size_up: float, mode: str) -> SchedulerCode:
    return SchedulerCode(
        torch_class="CyclicLR",
        arguments={
            **_cyclic_ends(recipe, base_factor),
            "step_size_up": f"max(1, round({step_size_up!r} * steps))",
            "mode": literal(mode),
            "cycle_momentum": "False",
        },
    )


def _cyclic_ends(recipe: Recipe, base_factor: float) -> dict[str, str]:
    if not scales_groups(recipe):
        return {"base_lr": f"{base_factor!r} * LR", "max_lr": "LR"}
    each = "for g in optimizer.param_groups]"
    return {"base_lr": f'[{base_factor!r} * g["lr"] {each}', "max_lr": f'[g["lr"] {each}'}


def _one_cycle(
    recipe: Recipe,
    *,
    pct_start: float,
    div_factor: float,
    final_div_factor: float,
    cycle_momentum: bool,
) -> SchedulerCode:
    arguments = {
        "max_lr": _PEAKS if scales_groups(recipe) else "LR",
        "total_steps": "steps",
        "pct_start": "pct_start",
        "div_factor": repr(div_factor),
        "final_div_factor": repr(final_div_factor),
    }
    if cycle_momentum and has_groups(recipe):
        arguments |= {
            "base_momentum": "[max(0.0, top - 0.1) for top in tops]",
            "max_momentum": "tops",
        }
    elif cycle_momentum:
        top = _largest_momentum(recipe)
        arguments |= {"base_momentum": repr(max(0.0, top - 0.1)), "max_momentum": repr(top)}
    else:
        arguments |= {"cycle_momentum": "False"}
    return SchedulerCode(
        torch_class="OneCycleLR",
        arguments=arguments,
        before=(
            *(_group_momenta(recipe) if cycle_momentum and has_groups(recipe) else ()),
            f"pct_start = {float(pct_start)!r}",
            "while pct_start * steps == 1:  # torch would divide by 0",
            "    pct_start = math.nextafter(pct_start, 1)",
        ),
        imports=("import math",),
    )


def _group_momenta(recipe: Recipe) -> tuple[str, ...]:
    """A line that sets `tops`, the largest momentum of each group."""
    betas = optimizer_info(recipe.optimizer_name, "optimizer").momentum == "betas"
    own = 'g["betas"][0]' if betas else 'g["momentum"] or 0.95'
    return (f"tops = [{own} for g in optimizer.param_groups]",)


def _largest_momentum(recipe: Recipe) -> float:
    info = optimizer_info(recipe.optimizer_name, "optimizer")
    assert info.momentum is not None  # format torch needs a class of the study's own to be here
    value = recipe.optimizer.get(info.momentum, info.default(info.momentum))
    return float(value[0] if info.momentum == "betas" else value or 0.95)


def _cosine_restarts(recipe: Recipe, *, T_0: float, T_mult: int, eta_min: float) -> SchedulerCode:
    first = f"max(1, math.ceil({T_0!r} * steps - 1e-9))"
    if eta_min and scales_groups(recipe):
        own = f"first=first, growth={int(T_mult)!r}, eta_min={eta_min!r}"
        return _lambda("cosine_restarts", own, before=(f"first = {first}",))
    return SchedulerCode(
        torch_class="CosineAnnealingWarmRestarts",
        arguments={
            "T_0": first,
            "T_mult": repr(int(T_mult)),
            "eta_min": f"{eta_min!r} * LR" if eta_min else "0.0",
        },
        imports=("import math",),
    )


def _polynomial(recipe: Recipe, *, power: float) -> SchedulerCode:
    arguments = {"total_iters": "steps", "power": repr(power)}
    return SchedulerCode(torch_class="PolynomialLR", arguments=arguments)


def _shape(recipe: Recipe, **fields: Unchecked) -> SchedulerCode:
    """A shape that torch lacks, with the text of its function."""
    name = recipe.schedule_name
    values = "".join(f", {k}={literal(fields[k])}" for k in SCHEDULES[name].defaults)
    return _lambda(name, f"steps=steps{values}")


def _lambda(name: str, arguments: str, before: tuple[str, ...] = ()) -> SchedulerCode:
    """LambdaLR over a function of `schedule_shapes`, whose text the script holds."""
    source = inspect.getsource(getattr(schedule_shapes, name)).rstrip()
    math = ("import math",) if "math." in source else ()
    return SchedulerCode(
        torch_class="LambdaLR",
        arguments={"lr_lambda": f"partial({name}, {arguments})"},
        before=before,
        imports=(*math, "from functools import partial"),
        helpers=(source,),
    )


def _own(recipe: Recipe, **fields: Unchecked) -> SchedulerCode:
    """A function of progress of the study's own, imported from its file."""
    _, function = split(recipe.schedule_name)
    values = "".join(f", {key}={literal(value)}" for key, value in fields.items())
    return SchedulerCode(
        torch_class="LambdaLR",
        arguments={"lr_lambda": f"lambda step: {function}(min(1.0, step / steps){values})"},
        imports=(import_of(recipe.schedule_name),),
    )


_SCHEDULERS: dict[str, Callable[..., SchedulerCode]] = {
    "constant": _constant,
    "step": _step,
    "multistep": _multistep,
    "exponential": _exponential,
    "cosine": _cosine,
    "cosine_restarts": _cosine_restarts,
    "linear": _linear,
    "polynomial": _polynomial,
    "plateau": _plateau,
    "cyclic": _cyclic,
    "one_cycle": _one_cycle,
    "wsd": _shape,
    "rex": _shape,
    "inverse_sqrt": _shape,
}


def scheduler_code(recipe: Recipe) -> SchedulerCode:
    """The lines that `build_schedule` stands for, for this one recipe."""
    given = {key: value for key, value in recipe.schedule.items() if key != "name"}
    name = recipe.schedule_name
    if is_own(name):
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
        return _own(recipe, **values)
    return _SCHEDULERS[name](recipe, **{**SCHEDULES[name].defaults, **given})
