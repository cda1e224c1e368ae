"""From a study and a recipe to a trial at step 0; and a first look at whether a task can train."""

from dataclasses import replace

import torch

from lrsearch.errors import TaskError
from lrsearch.plain_data import Fields
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.parts import CALIBRATED
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.validation_plan import study_plan
from lrsearch.task.task import LoadedTask, Task
from lrsearch.training.calibrated_loss import CalibratedLoss
from lrsearch.training.data import Data, end_workers, make_splits
from lrsearch.training.solo import SoloTraining
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.training import SEARCH, Purpose
from lrsearch.trial.validations import Plan


def scored(task: Task, spec: StudySpec) -> Task:
    """The task with what its validations have to compute for the study's objective."""
    if spec.objective.metric != CALIBRATED:
        return task
    if task.loss is None:
        raise TaskError(
            f"objective = {CALIBRATED!r} is computed from outputs and targets; give the task a "
            f"loss, or take val_loss or a value of score"
        )
    return replace(task, metrics={**task.metrics, CALIBRATED: CalibratedLoss.of(task.loss)})


def steps_per_epoch(train: Data, accumulate: int) -> int:
    """Optimizer steps of an epoch; batches that make no whole step are dropped.

    Raises TaskError if there is none.
    """
    steps = train.batches // accumulate
    if steps == 0:
        raise TaskError(
            f"accumulate = {accumulate}, but an epoch has {train.batches} full batches; make it or "
            f"batch_size smaller"
        )
    return steps


def check_batch_size(loaded: LoadedTask, recipe: Fields, size: int) -> None:
    """Whether the task of a recipe trains with batches of this size.

    Raises TaskError where its DataLoader makes batches of its own, or two do not fit in an epoch.
    """
    params = recipe.get("params") or {}
    is_searched = "batch_size" in params
    task = loaded.make({**params, "batch_size": size} if is_searched else params)
    if callable(task.train) and not is_searched:
        raise TaskError(
            f"batch_size = {size}, but the task's DataLoader makes its batches itself; make "
            f"batch_size an argument of the task function, and search it: space.params.batch_size"
        )
    train, _ = make_splits(task, size, torch.device("cpu"), int(recipe.get("accumulate") or 1))
    end_workers(train)


def plan_of(
    spec: StudySpec, recipe: Recipe, steps_per_epoch: int, purpose: Purpose = SEARCH
) -> Plan:
    """When a trial of the study is validated and judged."""
    return study_plan(
        spec,
        steps_per_epoch=steps_per_epoch,
        total_steps=recipe.total_steps(steps_per_epoch),
        is_judged=purpose.kind == "search",
    )


def start_training(
    spec: StudySpec,
    recipe: Recipe,
    cache: TaskCache,
    purpose: Purpose = SEARCH,
    *,
    compiles: bool = False,
) -> SoloTraining:
    """A trial at step 0, whose steps are compiled where `compiles` says so and they can be."""
    task, splits = cache.splits(recipe)
    plan = plan_of(spec, recipe, steps_per_epoch(splits[0], recipe.accumulate), purpose)
    return SoloTraining(
        scored(task, spec),
        recipe,
        plan,
        splits,
        cache.device,
        cache.recordings(recipe),
        cache.compiled_steps(recipe) if compiles else None,
    )
