"""What is measured before a study is made: range tests, and how long an epoch takes."""

import time
from dataclasses import dataclass

from lrsearch.catalog.domains import first_value
from lrsearch.catalog.lookup import optimizer_info
from lrsearch.errors import SpecError, TaskError, near_miss
from lrsearch.preflight.checked import Checked
from lrsearch.range_test.analysis import SEED_COUNTS, RangeTest
from lrsearch.range_test.plan import ramp_plan
from lrsearch.recipe.recipe import Recipe
from lrsearch.task.task import LoadedTask


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
    from lrsearch.worker.scripts.program import ScriptProgram
    from lrsearch.worker.tasks.program import TaskProgram

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
    cache = TaskCache(_loaded_task(checked), pick_device(device))
    training = start_training(checked.spec, _small_steps(checked), cache)
    epoch = min(training.plan.steps_per_epoch, training.plan.total_steps)
    training.advance(1)  # the first step allocates
    started = time.monotonic()
    training.advance(epoch)
    training.validate(with_ema=False)
    return (time.monotonic() - started) * epoch / max(1, epoch - 1)


@dataclass(frozen=True, kw_only=True)
class TrialMemory:
    """What a trial takes of a device's memory beside others, and how many that is enough for."""

    #: Bytes, estimated: five times the parameters, and what one step keeps for its backward pass.
    estimated_bytes: int
    #: Trials at once that fit into the memory that is free now; None where that is not known.
    most_at_once: int | None


def trial_memory(checked: Checked, device: str = "auto") -> TrialMemory | None:
    """What one more trial at once takes; None for a script, whose trials are processes.

    It trains one step. Raises TaskError if the task's code fails.
    """
    if not isinstance(checked.loaded, LoadedTask):
        return None
    from lrsearch.training.devices import pick_device
    from lrsearch.training.engine import SoloEngine
    from lrsearch.training.failures import TrialFailedError, failures
    from lrsearch.training.task_cache import TaskCache
    from lrsearch.training.timing.calibrator import estimated_bytes, most_that_fit

    chosen = pick_device(device)
    engine = SoloEngine(checked.spec, TaskCache(checked.loaded, chosen))
    try:
        with failures():
            engine.admit(_small_steps(checked))
            taken = estimated_bytes(engine)
    except TrialFailedError as failure:
        raise TaskError(f"{checked.spec.reference}: {failure}") from failure
    return TrialMemory(estimated_bytes=taken, most_at_once=most_that_fit(taken, chosen))


def _small_steps(checked: Checked) -> Recipe:
    """A recipe of the study with so small a learning rate that nothing diverges."""
    params = {key: first_value(domain) for key, domain in checked.spec.space.params.items()}
    optimizer = {"name": "sgd", "lr": 1e-6, "momentum": 0.9}
    return checked.spec.recipe(
        {"optimizer": optimizer, "params": params}, batch_size=checked.batch_size
    )


def _loaded_task(checked: Checked) -> LoadedTask:
    """Raises TaskError where the program is no task."""
    if not isinstance(checked.loaded, LoadedTask):
        raise TaskError(
            f"{checked.spec.reference}: a command has no LR range test; give the learning rates in "
            f"the space"
        )
    return checked.loaded
