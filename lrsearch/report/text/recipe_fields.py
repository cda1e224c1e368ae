"""Every field of a recipe, a line each."""

from lrsearch.catalog.script import SCRIPT
from lrsearch.plain_data import Unchecked
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.groups import group_rows


def fields(recipe: Recipe, program: str = "task") -> tuple[tuple[str, str], ...]:
    """Everything that the recipe sets, a line each; of a script not what it does by itself."""
    optimizer = {f"optimizer: {k}": v for k, v in recipe.optimizer.items() if k != "name"}
    schedule = {f"schedule: {k}": v for k, v in recipe.schedule.items() if k != "name"}
    rows: dict[str, Unchecked] = {
        "optimizer": _name(recipe.optimizer_name),
        **optimizer,
        "schedule": _name(recipe.schedule_name),
        **schedule,
        "warm-up": _warmup(recipe) or (None if program == "command" else "none"),
        "epochs": recipe.epochs,
        "steps": recipe.steps,
        "batch size": recipe.batch_size,
        "batches of an optimizer step": recipe.accumulate if recipe.accumulate > 1 else None,
        "gradient clipped to norm": recipe.clip_norm,
        "precision": recipe.precision if program == "task" else None,
        "weights": "averaged (EMA)" if recipe.weights == "ema" else None,
        **dict(group_rows(recipe)),
        **{f"params: {key}": value for key, value in recipe.params.items()},
    }
    return tuple((name, _cell(value)) for name, value in rows.items() if value is not None)


def _warmup(recipe: Recipe) -> str:
    if recipe.warmup_steps:
        return f"{recipe.warmup_steps} steps"
    return f"{100 * recipe.warmup:g} % of all steps" if recipe.warmup else ""


def _name(name: str) -> str:
    return "the script's own" if name == SCRIPT else name


def _cell(value: Unchecked) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
