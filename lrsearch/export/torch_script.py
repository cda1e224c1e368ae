"""A recipe as a plain PyTorch script that needs no lrsearch.

The script holds the code of this one recipe, and computes its numbers by the same expressions as
`Recipe.build` and the training loop, so that it gives the same bits.
"""

import json
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jinja2

from lrsearch.errors import SpecError
from lrsearch.export.origin import Origin
from lrsearch.optimizers import OPTIMIZERS
from lrsearch.recipe import Recipe
from lrsearch.schedules import SCHEDULES, WARMUP_START_FACTOR

DOCSTRING_WIDTH = 88


@dataclass(frozen=True, kw_only=True)
class SchedulerCode:
    """The call that makes a scheduler, as source; its `steps` are those after warm-up."""

    torch_class: str
    #: Arguments after the optimizer.
    arguments: Mapping[str, str] = field(default_factory=dict)
    #: Lines before the call.
    before: tuple[str, ...] = ()


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
            "mode": _literal(fields["mode"]),
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
            "if pct_start * steps == 1:  # torch would divide by 0",
            "    pct_start = math.nextafter(pct_start, 1)",
        ),
    )


def _largest_momentum(optimizer: Mapping[str, Any]) -> float:
    info = OPTIMIZERS[optimizer["name"]]
    assert info.momentum is not None
    value = optimizer.get(info.momentum, info.default(info.momentum))
    return float(value[0] if info.momentum == "betas" else value or 0.95)


_SCHEDULERS: dict[str, Callable[[Mapping[str, Any], Recipe], SchedulerCode]] = {
    "constant": _constant,
    "step": _step,
    "multistep": _multistep,
    "exponential": _exponential,
    "cosine": _cosine,
    "linear": _linear,
    "plateau": _plateau,
    "cyclic": _cyclic,
    "one_cycle": _one_cycle,
}


def write(recipe: Recipe, origin: Origin) -> str:
    """Raises SpecError for a recipe that a script cannot be written for."""
    if recipe.batch_size is None:
        raise SpecError("batch_size is null, but format torch needs the recipe's batch size")
    name = recipe.schedule["name"]
    if name not in _SCHEDULERS:
        raise SpecError(f"schedule {name} has no format torch; use yaml or json")
    fields = {**SCHEDULES[name].defaults, **recipe.schedule}
    code = _SCHEDULERS[name](fields, recipe)
    return _template().render(
        **_docstring(recipe, origin),
        **_horizon(recipe, origin),
        imports=_imports(recipe, code),
        seed=recipe.seed,
        batch_size=recipe.batch_size,
        lr=repr(float(recipe.optimizer["lr"])),
        warmup=recipe.warmup and repr(recipe.warmup),
        warmup_start_factor=repr(WARMUP_START_FACTOR),
        clip_norm=recipe.clip_norm and repr(recipe.clip_norm),
        ema_epochs=recipe.ema and recipe.weights == "ema" and repr(recipe.ema["epochs"]),
        bf16=recipe.precision == "bf16",
        params=[(_literal(key), _literal(value)) for key, value in recipe.params.items()],
        optimizer_class=OPTIMIZERS[recipe.optimizer["name"]].torch_class,
        optimizer_arguments=_optimizer_arguments(recipe.optimizer),
        plateau=name == "plateau",
        scheduler=code,
        uses_steps="steps" in " ".join([*code.arguments.values(), *code.before]),
    )


def _docstring(recipe: Recipe, origin: Origin) -> dict[str, str]:
    per_epoch = f"{origin.steps_per_epoch} steps an epoch"
    step = "`scheduler.step()` once after every `optimizer.step()`"
    if recipe.schedule["name"] == "plateau":
        step = "`scheduler.step(val_loss)` after every validation, and not in between"
    return {
        "summary": _wrapped(f"Train with {recipe.title()}."),
        "origin": _wrapped(f"{origin.trial()} ({per_epoch}; {origin.software()})."),
        "usage": _wrapped(f"In a training loop of your own use `build`, and call {step}:"),
    }


def _wrapped(text: str) -> str:
    """Text for a docstring, whatever the names in it hold."""
    plain = text.replace("\\", "/").replace('"', "'")
    return "\n".join(textwrap.wrap(plain, DOCSTRING_WIDTH - len('"""')))


def _horizon(recipe: Recipe, origin: Origin) -> dict[str, Any]:
    total = recipe.total_steps(origin.steps_per_epoch)
    fraction = origin.validate_every.fraction
    return {
        "horizon_name": "EPOCHS" if recipe.epochs is not None else "TOTAL_STEPS",
        "horizon": total if recipe.epochs is None else recipe.epochs,
        "validate_steps": origin.validate_every.steps,
        "validate_count": fraction and max(1, round(1 / fraction)),
    }


def _imports(recipe: Recipe, code: SchedulerCode) -> list[str]:
    classes = {code.torch_class} | ({"LinearLR", "SequentialLR"} if recipe.warmup else set())
    rounds_up = recipe.epochs is None  # the epochs that TOTAL_STEPS begins
    lines = ["import math", ""] if rounds_up or "math." in " ".join(code.before) else []
    lines.append("import torch")
    if recipe.clip_norm:
        lines.append("from torch.nn.utils import clip_grad_norm_")
    return [*lines, f"from torch.optim.lr_scheduler import {', '.join(sorted(classes))}"]


def _optimizer_arguments(optimizer: Mapping[str, Any]) -> list[tuple[str, str]]:
    arguments = {k: v for k, v in optimizer.items() if k not in ("name", "lr", "fused")}
    if "betas" in arguments:
        arguments["betas"] = tuple(arguments["betas"])
    if optimizer.get("fused"):
        arguments["fused"] = True
    return [(key, _literal(value)) for key, value in arguments.items()]


def _literal(value: Any) -> str:
    """Python source for a plain value, with the quotes that formatters prefer."""
    if isinstance(value, str):
        return repr(value) if '"' in value else json.dumps(value, ensure_ascii=False)
    return repr(value)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lrsearch", "export"),
        autoescape=False,  # it makes Python, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("torch.py.jinja")
