"""A first step of each optimizer whose class may refuse the model."""

import torch

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.errors import LrsearchError, SpecError, describe
from lrsearch.spec.sample_recipes import sample
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import Task
from lrsearch.training.data import make_splits
from lrsearch.training.solo import SoloTraining
from lrsearch.training.start import plan_of, steps_per_epoch


def try_optimizers(spec: StudySpec, task: Task, device: torch.device) -> None:
    """Train one step, as a trial does, with what depends on the model or on another package.

    Gradients are those of a batch, frozen parameters have none, and weight average and precision
    are the study's. torch's own optimizers take any model, and building the first of them takes
    two seconds. Raises SpecError that names the optimizer.
    """
    for recipe in sample(spec, len(spec.space.optimizers), task.batch_size):
        name = recipe.optimizer_name
        if name != "muon" and optimizer_info(name, "space.optimizers").builtin:
            continue
        try:
            size = recipe.batch_size or task.batch_size
            splits = make_splits(task, size, device, recipe.accumulate)
            plan = plan_of(spec, recipe, steps_per_epoch(splits[0], recipe.accumulate))
            SoloTraining(task, recipe, plan, splits, device).advance(1)
        except Exception as error:
            reason = str(error) if isinstance(error, LrsearchError) else describe(error)
            raise SpecError(f"space.optimizers.{name}: {reason}") from error
