"""One batch of a study's task."""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.catalog.domains import first_value, largest
from lrsearch.errors import SpecError, near_miss
from lrsearch.loggers.installed import check_trackers
from lrsearch.preflight.checked import Checked, located
from lrsearch.recipe.warmup import warmup_length
from lrsearch.spec.parts import LOSSES
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.validation_plan import with_rung_samples
from lrsearch.task.batch_size import batch_size_of
from lrsearch.task.task import LoadedTask, Task

if TYPE_CHECKING:
    import torch

    from lrsearch.training.try_task import FirstLook


def check_study(
    spec: StudySpec, loaded: LoadedTask, *, folder: Path | None, device: str, where: str = ""
) -> Checked:
    """Build a study's task and train one batch of it; errors begin with `where`.

    Raises SpecError, TaskError or DeviceError in one line.
    """
    from lrsearch.storage.checkpoint_store import CheckpointStore
    from lrsearch.training.devices import pick_device
    from lrsearch.training.initial_weights import with_weights_beside
    from lrsearch.training.task_groups import check_groups, with_task_groups
    from lrsearch.training.try_optimizers import try_optimizers

    chosen = pick_device(device)
    with located(where):
        CheckpointStore(spec.checkpoints.to, spec.name)
        check_trackers(spec.log)
        spec, loaded = with_weights_beside(spec, loaded, folder or Path())
        check_params(spec, loaded)
        task = loaded.make({key: first_value(domain) for key, domain in spec.space.params.items()})
        check_objective(spec, task)
        spec = with_task_groups(spec, task)
    with located(where and f"{where}: {spec.task}"):
        look = _first_look(task, spec, chosen)
        check_groups(spec, task)
        check_warmup(spec, look.steps_per_epoch)
        try_optimizers(spec, task, chosen)
    with located(where):
        return _checked(spec, loaded, folder, task, look)


def _checked(
    spec: StudySpec, loaded: LoadedTask, folder: Path | None, task: Task, look: "FirstLook"
) -> Checked:
    params = {key: first_value(domain) for key, domain in spec.space.params.items()}
    batch_size = batch_size_of(task, params)
    spec = with_rung_samples(
        spec,
        steps_per_epoch=look.steps_per_epoch,
        batch_size=batch_size,
        whole=look.validation_samples,
        labels=look.labels,
    )
    return Checked(
        spec=spec,
        loaded=loaded,
        task=task,
        folder=folder,
        steps_per_epoch=look.steps_per_epoch,
        validation_samples=look.validation_samples,
        batch_size=batch_size,
        warnings=look.warnings,
        notes=look.notes,
    )


def _first_look(task: Task, spec: StudySpec, device: "torch.device") -> "FirstLook":
    from lrsearch.training.data_parallel.check import check_devices
    from lrsearch.training.try_task import try_task

    shared = check_devices(task, spec, device)
    look = try_task(task, spec, device)
    return replace(look, notes=(*look.notes, *shared))


def check_params(spec: StudySpec, loaded: LoadedTask) -> None:
    """Raises SpecError for a param of the space that the task's function does not take."""
    if isinstance(loaded.target, Task):
        return
    arguments = inspect.signature(loaded.target).parameters
    if any(argument.kind is argument.VAR_KEYWORD for argument in arguments.values()):
        return
    for name in spec.space.params:
        if name not in arguments:
            known = near_miss(name, arguments) if arguments else "; it takes none"
            raise SpecError(f"space.params.{name} is no argument of {spec.task}{known}")


def check_warmup(spec: StudySpec, steps_per_epoch: int) -> None:
    """Raises SpecError for a warm-up in steps that is as long as the run."""
    domain = spec.space.warmup_steps
    if domain is None:
        return
    total = round(spec.horizon_epochs(steps_per_epoch) * steps_per_epoch)
    with located("space"):
        warmup_length(total, 0.0, round(largest(domain)))


def check_objective(spec: StudySpec, task: Task) -> None:
    """Raises SpecError if the objective is no metric of the task."""
    metric = spec.objective.metric
    if task.loss is None:  # its values are known when a batch was scored
        return
    known = [*LOSSES, *task.metrics]
    if metric not in known:
        raise SpecError(
            f"objective.metric = {metric!r} is not a metric of the task{near_miss(metric, known)}"
        )
