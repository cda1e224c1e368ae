"""The fields of a Task: whether each is what it has to be, and whether they go together."""

from collections.abc import Callable, Iterator, Mapping

from torch import nn

from lrsearch.errors import TaskError
from lrsearch.spec.parts import CALIBRATED
from lrsearch.task.task import Task

#: What each function of a task takes.
ARGUMENTS = {
    "model": "()",
    "loss": "(output, target)",
    "step": "(model, batch)",
    "score": "(model, batch)",
    "carry": "(model)",
}
#: Fields that exclude each other, and what to do.
EXCLUDED = (
    ("loss", "step", "step computes the loss itself, so leave loss out"),
    ("loss", "score", "values beside a loss are metrics of (output, target), so write metrics"),
    ("loss", "carry", "a carried state is handed to step, so write step in place of loss"),
    ("step", "metrics", "a step has no outputs to hand on, so let score return these values"),
)


def check_fields(task: Task) -> None:
    """Raises TaskError for the first field that is wrong."""
    _check_functions(task)
    for one, other, reason in EXCLUDED:
        if getattr(task, one) and getattr(task, other):
            raise TaskError(f"the Task has {one} and {other}, but takes one of them: {reason}")
    if task.carry is not None and task.step is None:
        raise TaskError(
            "the Task has carry, but no step; write step=lambda model, batch, state: (loss, state)"
        )
    counts = {"batch_size": task.batch_size}
    optional = {name: getattr(task, name) for name in ("steps_per_epoch", "validation_batches")}
    counts |= {name: count for name, count in optional.items() if count is not None}
    for name, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise TaskError(f"{name} = {count!r}, but a whole number from 1 is needed")


def _check_functions(task: Task) -> None:
    if isinstance(task.model, nn.Module):
        name = type(task.model).__name__
        raise TaskError(
            f"model is {name}, but a function that returns a new one is needed; write the code "
            f"that makes it after `model=lambda:`, so that each trial has its own"
        )
    if not isinstance(task.metrics, Mapping):
        raise TaskError(
            f"metrics is {type(task.metrics).__name__}, but a mapping of names to functions is "
            f'needed; write {{"accuracy": accuracy}}'
        )
    if CALIBRATED in task.metrics:
        raise TaskError(
            f"metrics has {CALIBRATED!r}, which lrsearch computes itself; give yours another name"
        )
    for name, value in _functions(task):
        takes = ARGUMENTS.get(name, "(output, target)")
        if isinstance(value, type) and issubclass(value, nn.Module) and name != "model":
            called = f"nn.{value.__name__}" if value.__module__.startswith("torch.nn") else ""
            raise TaskError(
                f"{name} is the class {value.__name__}, but an instance of it is needed; write "
                f"{called or value.__name__}()"
            )
        if not callable(value):
            raise TaskError(
                f"{name} is {type(value).__name__}, but a function of {takes} is needed"
                f"{_such(name)}"
            )


def _functions(task: Task) -> Iterator[tuple[str, Callable[..., object]]]:
    yield "model", task.model
    for name, metric in task.metrics.items():
        yield f"metric {name}", metric
    own = {"loss": task.loss, "step": task.step, "score": task.score, "carry": task.carry}
    yield from ((name, value) for name, value in own.items() if value is not None)


def _such(name: str) -> str:
    return ", such as torch.nn.functional.cross_entropy" if name == "loss" else ""
