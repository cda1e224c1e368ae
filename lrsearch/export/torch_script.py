"""A recipe as a plain PyTorch script that needs no lrsearch.

The script holds the code of this one recipe, and computes its numbers by the same expressions as
`Recipe.build` and the training loop, so that it gives the same bits.
"""

import sys
import textwrap

import jinja2

from lrsearch.catalog.groups import OF_TASK
from lrsearch.catalog.schedules import WARMUP_START_FACTOR
from lrsearch.errors import SpecError
from lrsearch.export.header import Origin
from lrsearch.export.source import literal
from lrsearch.export.torch_groups import scales_groups
from lrsearch.export.torch_optimizer import OptimizerCode, optimizer_code
from lrsearch.export.torch_scheduler import SchedulerCode, scheduler_code
from lrsearch.plain_data import Document, Fields
from lrsearch.recipe.recipe import Recipe
from lrsearch.trial.validations import far_rungs, make_plan

DOCSTRING_WIDTH = 88


def write(recipe: Recipe, origin: Origin) -> str:
    """Raises SpecError for a recipe that a script cannot be written for."""
    if origin.command is not None:
        raise SpecError(
            f"format torch writes a training loop, and the study's is its script's own; train the "
            f"recipe by it: {origin.command}"
        )
    if recipe.batch_size is None:
        raise SpecError("batch_size is null, but format torch needs the recipe's batch size")
    scheduler, optimizer = scheduler_code(recipe), optimizer_code(recipe)
    return template("torch.py.jinja").render(
        **_docstring(recipe, origin, switches=optimizer.switches),
        **_horizon(recipe, origin),
        **build_fields(recipe, optimizer, scheduler),
        imports=_imports(recipe, optimizer, scheduler),
        seed=recipe.seed,
        batch_size=recipe.batch_size,
        clip_norm=recipe.clip_norm and repr(recipe.clip_norm),
        ema_epochs=recipe.ema and recipe.weights == "ema" and repr(recipe.ema["epochs"]),
        accumulate=recipe.accumulate if recipe.accumulate > 1 else None,
        dtype={"fp32": None, "bf16": "bfloat16", "fp16": "float16"}[recipe.precision],
        scaled=recipe.precision == "fp16",
        followed=literal(_followed(recipe, origin)),
        init=origin.init and literal(origin.init.file),
        init_hash=origin.init and origin.init.sha256,
        init_strict=origin.init and origin.init.strict,
    )


def build_fields(recipe: Recipe, optimizer: OptimizerCode, scheduler: SchedulerCode) -> Document:
    """What the text of `build`, and of what it needs, is made of."""
    return {
        "helpers": [*optimizer.helpers, *scheduler.helpers],
        "lr": repr(recipe.lr),
        "warmup": recipe.has_warmup and repr(recipe.warmup_steps or recipe.warmup),
        "warmup_in_steps": bool(recipe.warmup_steps),
        "warmup_start_factor": repr(WARMUP_START_FACTOR),
        "params": [(literal(key), literal(value)) for key, value in recipe.params.items()],
        "optimizer": optimizer,
        "plateau": recipe.schedule_name == "plateau",
        "scaled_groups": scales_groups(recipe),
        "group_function": recipe.groups == OF_TASK,
        "scheduler": scheduler,
        "uses_steps": "steps" in " ".join([*scheduler.arguments.values(), *scheduler.before]),
    }


def _docstring(recipe: Recipe, origin: Origin, *, switches: bool) -> Document:
    per_epoch = f"{origin.steps_per_epoch} steps an epoch"
    step = "`scheduler.step()` once after every `optimizer.step()`"
    if recipe.schedule_name == "plateau":
        followed = _followed(recipe, origin)
        step = f"`scheduler.step({followed})` after every validation, and not in between"
    elif recipe.precision == "fp16":
        step += " that a loss scaler does not leave out"
    if switches:
        step += ", and `optimizer.eval()` before a validation, `optimizer.train()` after it"
    return {
        "summary": wrapped(f"Train with {recipe.title()}."),
        "origin": wrapped(f"{origin.trial()} ({per_epoch}; {origin.software()})."),
        "notes": [wrapped(f"{note}.") for note in origin.notes],
        "usage": wrapped(f"In a training loop of your own use `build`, and call {step}:"),
    }


def _followed(recipe: Recipe, origin: Origin) -> str:
    """What a plateau schedule looks at, as a validation's row calls it."""
    if recipe.schedule.get("metric") != "objective":
        return "val_loss"
    return (
        f"{origin.metric}_ema"
        if origin.metric == "val_loss" and recipe.weights == "ema"
        else origin.metric
    )


def wrapped(text: str) -> str:
    """Text for a docstring, whatever the names in it hold."""
    plain = text.replace("\\", "/").replace('"', "'")
    return "\n".join(textwrap.wrap(plain, DOCSTRING_WIDTH - len('"""')))


def _horizon(recipe: Recipe, origin: Origin) -> Fields:
    total = recipe.total_steps(origin.steps_per_epoch)
    fraction = origin.validate_every.fraction
    return {
        "horizon_name": "EPOCHS" if recipe.epochs is not None else "TOTAL_STEPS",
        "horizon": total if recipe.epochs is None else recipe.epochs,
        "validate_steps": origin.validate_every.steps,
        "validate_count": fraction and max(1, round(1 / fraction)),
        "validate_also": _rung_validations(total, origin),
    }


def _rung_validations(total_steps: int, origin: Origin) -> list[str]:
    """The fractions of the run at which it was validated for a rung's sake."""
    every = origin.validate_every
    plain = make_plan(
        steps_per_epoch=origin.steps_per_epoch,
        total_steps=total_steps,
        validate_steps=every.steps,
        validate_fraction=every.fraction,
    )
    far = far_rungs(origin.rungs, total_steps, plain.validations[:-1]) if every.rungs else []
    return [repr(fraction) for fraction in far]


def _imports(recipe: Recipe, optimizer: OptimizerCode, scheduler: SchedulerCode) -> list[str]:
    lines = {"import torch"}
    if recipe.epochs is None:  # the epochs that TOTAL_STEPS begins
        lines.add("import math")
    if recipe.clip_norm:
        lines.add("from torch.nn.utils import clip_grad_norm_")
    return import_lines(recipe, optimizer, scheduler, lines)


def import_lines(
    recipe: Recipe, optimizer: OptimizerCode, scheduler: SchedulerCode, others: set[str]
) -> list[str]:
    """Lines that import what `build` needs, and others, those of the standard library first."""
    classes = {scheduler.torch_class} | (
        {"LinearLR", "SequentialLR"} if recipe.has_warmup else set()
    )
    lines = {*optimizer.imports, *scheduler.imports, *others}
    lines.add(f"from torch.optim.lr_scheduler import {', '.join(sorted(classes))}")
    ordered = sorted(lines, key=lambda line: (line.startswith("from"), line.split()[1]))
    standard = [
        line for line in ordered if line.split()[1].split(".")[0] in sys.stdlib_module_names
    ]
    rest = [line for line in ordered if line not in standard]
    return [*standard, "", *rest] if standard else rest


def template(name: str) -> jinja2.Template:
    """The template in this package's file of that name."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lrsearch", "export"),
        autoescape=False,  # it makes Python, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(name)
