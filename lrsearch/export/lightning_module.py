"""A recipe as a base class of Lightning modules, with the text of `configure_optimizers`."""

from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.export.header import Origin
from lrsearch.export.source import literal
from lrsearch.export.target import Target
from lrsearch.export.torch_optimizer import optimizer_code
from lrsearch.export.torch_scheduler import scheduler_code
from lrsearch.export.torch_script import build_fields, import_lines, template, wrapped
from lrsearch.plain_data import Document
from lrsearch.recipe.recipe import Recipe
from lrsearch.task.own_code import is_own

TARGET = Target(
    format="lightning",
    optimizers=tuple(OPTIMIZERS),
    schedules=tuple(SCHEDULES),
    warmable=tuple(name for name, info in SCHEDULES.items() if info.no_warmup is None),
    # With a loss scaler that skips a step Lightning's schedule goes on.
    precisions=("fp32", "bf16"),
    has_groups=True,
)


def write(recipe: Recipe, origin: Origin) -> str:
    """Raises SpecError for what a module that Lightning trains cannot do."""
    _target(recipe).check(recipe)
    scheduler, optimizer = scheduler_code(recipe), optimizer_code(recipe)
    if optimizer.switches:
        raise TARGET.refused(f"{recipe.optimizer_name}, which has train() and eval()")
    if optimizer.second_order:
        raise TARGET.refused(f"{recipe.optimizer_name}, which differentiates the gradients")
    by_epochs = origin.validate_every.steps is None and origin.validate_every.fraction is None
    if recipe.schedule_name == "plateau" and not by_epochs:
        raise TARGET.refused("plateau with validations that are not one an epoch")
    needs = {"import torch"} if optimizer.call.startswith("torch.") or _names_torch(recipe) else ()
    return template("lightning.py.jinja").render(
        **build_fields(recipe, optimizer, scheduler),
        imports=import_lines(recipe, optimizer, scheduler, set(needs)),
        summary=wrapped(f"Train with {recipe.title()}."),
        origin=[wrapped(f"{line}.") for line in origin.lines()],
        batch_size=recipe.batch_size,
        trainer=[(literal(key), literal(value)) for key, value in _trainer(recipe).items()],
        monitor=literal(
            origin.metric if recipe.schedule.get("metric") == "objective" else "val_loss"
        ),
    )


def _target(recipe: Recipe) -> Target:
    """Its own optimizers and schedules are as good as torch's: the script imports them."""
    names = recipe.optimizer_name, recipe.schedule_name
    optimizers, schedules = (
        (*known, name) if is_own(name) or "." in name else tuple(known)
        for known, name in zip((TARGET.optimizers, TARGET.schedules), names, strict=True)
    )
    own = [name for name in names[1:] if is_own(name)]
    return Target(
        format=TARGET.format,
        optimizers=optimizers,
        schedules=schedules,
        warmable=(*TARGET.warmable, *own),
        precisions=TARGET.precisions,
        has_groups=True,
    )


def _names_torch(recipe: Recipe) -> bool:
    """Whether the text of `build` or of a helper says `torch.`."""
    return recipe.optimizer_name == "muon" or any(rule.kind for rule in recipe.group_rules)


def _trainer(recipe: Recipe) -> Document:
    """Arguments of `lightning.Trainer`."""
    horizon = "max_steps" if recipe.epochs is None else "max_epochs"
    words = {"fp32": "32-true", "bf16": "bf16-mixed"}
    return {
        horizon: recipe.steps if recipe.epochs is None else recipe.epochs,
        "accumulate_grad_batches": recipe.accumulate,
        "gradient_clip_val": recipe.clip_norm,
        "gradient_clip_algorithm": "norm",
        "precision": words[recipe.precision],
    }
