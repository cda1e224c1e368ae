"""`lrsearch.train`: one recipe of a study, trained for as long as it is wanted."""

from pathlib import Path

from lrsearch.api.open_study import open_study
from lrsearch.api.trained_model import TrainedModel
from lrsearch.recipe.recipe import Recipe
from lrsearch.task.task import Task


def train(
    study: str,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    recipe: Recipe | str | Path | int | None = None,
    seed: int | None = None,
    name: str | None = None,
    save: str | Path | None = None,
    storage: str | None = None,
    task: Task | None = None,
    task_dir: str | Path = ".",
    devices: str = "auto",
) -> TrainedModel:
    """Train one recipe of a study over `epochs`, or `steps`; what came of it.

    `study` is its name in the database of `storage`; the rest is as in `Result.train`, and `task`,
    `task_dir` and `devices` as in `open_study`. The same call goes on where it was interrupted.
    """
    found = open_study(study, storage=storage, task=task, task_dir=task_dir, devices=devices)
    return found.train(epochs=epochs, steps=steps, recipe=recipe, seed=seed, name=name, save=save)
