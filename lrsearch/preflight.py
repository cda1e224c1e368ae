"""Everything about a study file that can be wrong, found before a database is touched."""

import inspect
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lrsearch.catalog.domains import first_value
from lrsearch.catalog.lookup import optimizer_info
from lrsearch.errors import SpecError, TaskError, near_miss
from lrsearch.range_test.analysis import SEED_COUNTS, RangeTest
from lrsearch.range_test.plan import ramp_plan
from lrsearch.spec.parts import LOSSES
from lrsearch.spec.program import after_first_run
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.batch_size import batch_size_of
from lrsearch.task.find import load_task
from lrsearch.task.task import LoadedCode, LoadedTask, Task
from lrsearch.user_input import read_yaml


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A study whose program trains."""

    spec: StudySpec
    loaded: LoadedCode
    #: None where the program is a script or a command.
    task: Task | None
    #: Where workers look for the task's file; None for a task that is an object of this process.
    folder: Path | None
    steps_per_epoch: int
    #: What trains, but hardly as it was meant, one line each.
    warnings: tuple[str, ...] = ()
    #: What was assumed of the task, one line each.
    notes: tuple[str, ...] = ()
    #: How a script's trials go on after an interruption; None of a task, where it is exact.
    resume: str | None = None
    #: How long an epoch takes, where a first run has shown it.
    seconds_per_epoch: float | None = None

    @cached_property
    def batch_size(self) -> int | None:
        """The task's own."""
        params = {key: first_value(domain) for key, domain in self.spec.space.params.items()}
        return None if self.task is None else batch_size_of(self.task, params)


def read_study_file(
    path: Path, *, name: str | None = None, totals: Mapping[str, int] | None = None
) -> StudySpec:
    """The study in a file. Raises SpecError.

    `name` and `totals`, of the budget by its fields, replace the file's own.
    """
    spec = StudySpec.load(path)
    if name is None and not totals:
        return spec
    content = read_yaml(path, "study file")
    if name is not None:
        content["name"] = name
    content["budget"] = {**spec.budget.model_dump(exclude_none=True), **(totals or {})}
    options = ", ".join(f"--{field}" for field in totals or ())
    return StudySpec.from_dict(content, where=options or str(path))


def check_file(path: Path, *, device: str = "auto") -> Checked:
    """Read a study file, import its task and train one batch of it.

    Raises SpecError, TaskError or DeviceError in one line.
    """
    return check_spec(read_study_file(path), path, device=device)


def check_spec(
    spec: StudySpec, path: Path, *, device: str = "auto", proves: bool = False
) -> Checked:
    """As `check_file`, for the study that was read from `path` already."""
    from lrsearch.training.devices import pick_device

    pick_device(device)
    folder = path.resolve().parent
    if spec.task is None:
        with _located(str(path)):
            return check_program(spec, path, device=device, proves=proves)
    with _located(str(path)):
        loaded = load_task(spec.task, path.parent, spec.own_names())
    return check_study(spec, loaded, folder=folder, device=device, where=str(path))


def check_program(spec: StudySpec, path: Path, *, device: str, proves: bool = False) -> Checked:
    """Run a study's training script or command until its first report.

    `proves`: whether it is proved how a script goes on after an interruption, whatever that costs.
    `path` is the study file, or stands for one in its folder. Raises SpecError, TaskError or
    DeviceError in one line.
    """
    from lrsearch.spec.command_code import load_command
    from lrsearch.storage.checkpoint_store import CheckpointStore
    from lrsearch.task.script import load_script
    from lrsearch.training.devices import pick_device
    from lrsearch.worker.try_script import try_command, try_script

    CheckpointStore(spec.checkpoints.to, spec.name)
    chosen = pick_device(device)
    if spec.train is not None:
        loaded = load_script(spec.train, path.parent)
        found = try_script(spec, loaded, chosen, proves=proves)
    else:
        loaded = load_command(spec, path)
        found = try_command(spec, str(chosen))
    return Checked(
        spec=after_first_run(spec, averages=found.averages, reads_loss=found.reads_loss),
        loaded=loaded,
        task=None,
        folder=path.resolve().parent,
        steps_per_epoch=found.steps_per_epoch,
        warnings=found.warnings,
        notes=found.notes,
        resume=found.resume,
        seconds_per_epoch=found.seconds / max(found.epoch, 1e-9),
    )


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
    from lrsearch.training.try_task import try_task

    chosen = pick_device(device)
    with _located(where):
        CheckpointStore(spec.checkpoints.to, spec.name)
        spec, loaded = with_weights_beside(spec, loaded, folder or Path())
        check_params(spec, loaded)
        task = loaded.make({key: first_value(domain) for key, domain in spec.space.params.items()})
        check_objective(spec, task)
        spec = with_task_groups(spec, task)
    with _located(where and f"{where}: {spec.task}"):
        look = try_task(task, spec, chosen)
        check_groups(spec, task)
        try_optimizers(spec, task, chosen)
    return Checked(
        spec=spec,
        loaded=loaded,
        task=task,
        folder=folder,
        steps_per_epoch=look.steps_per_epoch,
        warnings=look.warnings,
        notes=look.notes,
    )


@contextmanager
def _located(where: str) -> Iterator[None]:
    """Errors inside begin with `where`, if it is not empty."""
    try:
        yield
    except (SpecError, TaskError) as error:
        if not where:
            raise
        raise type(error)(f"{where}: {error}") from error


def tested_optimizers(checked: Checked, name: str | None) -> list[str]:
    """The optimizers of the space, or the one named. Raises SpecError if it is not among them."""
    names = list(checked.spec.space.optimizers)
    if name is None:
        return [known for known in names if optimizer_info(known, "space").constant_only is None]
    if name not in names:
        raise SpecError(
            f"--optimizer {name} is not in the space of {checked.spec.name}{near_miss(name, names)}"
        )
    if reason := optimizer_info(name, "--optimizer").constant_only:
        raise SpecError(f"--optimizer {name}: {reason}")
    return [name]


def range_test(
    checked: Checked, optimizer: str, *, seeds: int | None, device: str = "auto"
) -> RangeTest:
    """The LR range test of an optimizer of the space, with so many seeds or as many as it asks for.

    Raises TaskError if the task's code fails, or there is no task.
    """
    import torch

    from lrsearch.training.devices import pick_device
    from lrsearch.training.failures import TrialFailedError
    from lrsearch.worker.script_program import ScriptProgram
    from lrsearch.worker.task_program import TaskProgram

    torch.set_num_threads(1)
    spec, chosen = checked.spec, pick_device(device)
    program = (
        ScriptProgram(spec, checked.loaded, chosen)
        if spec.train is not None
        else TaskProgram(spec, _loaded_task(checked), chosen)
    )
    training = program.range_trainer(ramp_plan(spec, optimizer), lambda: False)
    try:
        result = training.run(seeds or SEED_COUNTS[-1], exactly=seeds is not None)
    except TrialFailedError as failure:
        raise TaskError(
            f"{checked.spec.reference}: range test of {optimizer}: {failure}"
        ) from failure
    finally:
        program.close()
    assert result is not None  # nothing stops it
    return result


def seconds_per_epoch(checked: Checked, device: str = "auto") -> float:
    """Time one epoch of training and one validation on this machine."""
    if checked.seconds_per_epoch is not None:
        return checked.seconds_per_epoch
    import torch

    from lrsearch.training.devices import pick_device
    from lrsearch.training.start import start_training
    from lrsearch.training.task_cache import TaskCache

    torch.set_num_threads(1)
    params = {key: first_value(domain) for key, domain in checked.spec.space.params.items()}
    optimizer = {"name": "sgd", "lr": 1e-6, "momentum": 0.9}
    recipe = checked.spec.recipe(
        {"optimizer": optimizer, "params": params}, batch_size=checked.batch_size
    )
    training = start_training(
        checked.spec, recipe, TaskCache(_loaded_task(checked), pick_device(device))
    )
    epoch = min(training.plan.steps_per_epoch, training.plan.total_steps)
    training.advance(1)  # the first step allocates
    started = time.monotonic()
    training.advance(epoch)
    training.validate(with_ema=False)
    return (time.monotonic() - started) * epoch / max(1, epoch - 1)


def _loaded_task(checked: Checked) -> LoadedTask:
    """Raises TaskError where the program is no task."""
    if not isinstance(checked.loaded, LoadedTask):
        raise TaskError(
            f"{checked.spec.reference}: a command has no LR range test; give the learning rates in "
            f"the space"
        )
    return checked.loaded


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
