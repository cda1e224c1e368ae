"""What is measured before a study is made: range tests, and how long an epoch takes."""

import time

from lrsearch.catalog.domains import first_value
from lrsearch.catalog.lookup import optimizer_info
from lrsearch.errors import SpecError, TaskError, near_miss
from lrsearch.preflight.checked import Checked
from lrsearch.range_test.analysis import SEED_COUNTS, RangeTest
from lrsearch.range_test.plan import ramp_plan
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
