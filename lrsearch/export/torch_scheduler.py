"""The source of the call that makes a recipe's scheduler."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.export.source import literal
from lrsearch.recipe import schedule_shapes
from lrsearch.recipe.recipe import Recipe


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


def _constant(fields: Mapping[str, Any], recipe: Recipe) -> SchedulerCode:
    return SchedulerCode(torch_class="ConstantLR", arguments={"factor": "1.0"})


def _step(fields: Mapping[str, Any], recipe: Recipe) -> SchedulerCode:
    size = f"max(1, round({fields['step_size']!r} * steps))"
    arguments = {"step_size": size, "gamma": repr(fields["gamma"])}
    return SchedulerCode(torch_class="StepLR", arguments=arguments)


def _multistep(fields: Mapping[str, Any], recipe: Recipe) -> SchedulerCode:
    return SchedulerCode(
        torch_class="MultiStepLR",
        arguments={
            "milestones": "[round(fraction * steps) for fraction in fractions]",
            "gamma": repr(fields["gamma"]),
        },
        before=(f"fractions = {list(fields['milestones'])!r}",),
    )


def _exponential(fields: Mapping[str, Any], recipe: Recipe) -> SchedulerCode:
    gamma = f"{fields['final']!r} ** (1 / steps)"
    return SchedulerCode(torch_class="ExponentialLR", arguments={"gamma": gamma})


def _cosine(fields: Mapping[str, Any], recipe: Recipe) -> SchedulerCode:
    eta_min = f"{fields['eta_min']!r} * LR" if fields["eta_min"] else "0.0"
    arguments = {"T_max": "steps", "eta_min": eta_min}
    return SchedulerCode(torch_class="CosineAnnealingLR", arguments=arguments)


def _linear(fields: Mapping[str, Any], recipe: Recipe) -> SchedulerCode:
    return SchedulerCode(
        torch_class="LinearLR",
        arguments={
            "start_factor": "1.0",
            "end_factor": repr(fields["end_factor"]),
            "total_iters": "steps",
        },
    )


def _plateau(fields: Mapping[str, Any], recipe: Recipe) -> SchedulerCode:
    return SchedulerCode(
        torch_class="ReduceLROnPlateau",
        arguments={
            "factor": repr(fields["factor"]),
            "patience": f"round({fields['patience']!r} * validations)",
            "threshold": "0.0",
        },
    )


def _cyclic(fields: Mapping[str, Any], recipe: Recipe) -> SchedulerCode:
    return SchedulerCode(
        torch_class="CyclicLR",
        arguments={
            "base_lr": f"{fields['base_factor']!r} * LR",
            "max_lr": "LR",
            "step_size_up": f"max(1, round({fields['step_size_up']!r} * steps))",
            "mode": literal(fields["mode"]),
            "cycle_momentum": "False",
        },
    )


def _one_cycle(fields: Mapping[str, Any], recipe: Recipe) -> SchedulerCode:
    arguments = {
        "max_lr": "LR",
        "total_steps": "steps",
        "pct_start": "pct_start",
        "div_factor": repr(fields["div_factor"]),
        "final_div_factor": repr(fields["final_div_factor"]),
    }
    if fields["cycle_momentum"]:
        top = _largest_momentum(recipe.optimizer)
        arguments |= {"base_momentum": repr(max(0.0, top - 0.1)), "max_momentum": repr(top)}
    else:
        arguments["cycle_momentum"] = "False"
    return SchedulerCode(
        torch_class="OneCycleLR",
        arguments=arguments,
        before=(
            f"pct_start = {float(fields['pct_start'])!r}",
            "while pct_start * steps == 1:  # torch would divide by 0",
            "    pct_start = math.nextafter(pct_start, 1)",
        ),
        imports=("import math",),
    )


def _largest_momentum(optimizer: Mapping[str, Any]) -> float:
    info = optimizer_info(optimizer["name"], "optimizer")
    assert info.momentum is not None
    value = optimizer.get(info.momentum, info.default(info.momentum))
    return float(value[0] if info.momentum == "betas" else value or 0.95)


def _cosine_restarts(fields: Mapping[str, Any], recipe: Recipe) -> SchedulerCode:
    return SchedulerCode(
        torch_class="CosineAnnealingWarmRestarts",
        arguments={
            "T_0": f"max(1, math.ceil({fields['T_0']!r} * steps - 1e-9))",
            "T_mult": repr(int(fields["T_mult"])),
            "eta_min": f"{fields['eta_min']!r} * LR" if fields["eta_min"] else "0.0",
        },
        imports=("import math",),
    )


def _polynomial(fields: Mapping[str, Any], recipe: Recipe) -> SchedulerCode:
    arguments = {"total_iters": "steps", "power": repr(fields["power"])}
    return SchedulerCode(torch_class="PolynomialLR", arguments=arguments)


def _shape(fields: Mapping[str, Any], recipe: Recipe) -> SchedulerCode:
    """A shape that torch lacks, with the text of its function."""
    name = recipe.schedule["name"]
    values = "".join(f", {k}={literal(fields[k])}" for k in SCHEDULES[name].defaults)
    source = inspect.getsource(getattr(schedule_shapes, name)).rstrip()
    math = ("import math",) if "math." in source else ()
    return SchedulerCode(
        torch_class="LambdaLR",
        arguments={"lr_lambda": f"partial({name}, steps=steps{values})"},
        imports=(*math, "from functools import partial"),
        helpers=(source,),
    )


SCHEDULERS: dict[str, Callable[[Mapping[str, Any], Recipe], SchedulerCode]] = {
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
