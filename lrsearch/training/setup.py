"""From a study and a recipe to a trial at step 0; and a first look at whether a task can train."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from lrsearch.errors import LrsearchError, TaskError
from lrsearch.recipe import Recipe
from lrsearch.rungs import Plan, make_plan
from lrsearch.spec import StudySpec
from lrsearch.spec_parts import CALIBRATED
from lrsearch.task import LoadedTask, Task, describe
from lrsearch.training.calibrated import CalibratedLoss, check_cross_entropy
from lrsearch.training.data import Data, make_splits, make_test
from lrsearch.training.loop import Training, make_model
from lrsearch.training.precision import autocast
from lrsearch.training.recording import Recordings

#: Params whose task and data a worker keeps.
MOST_TASKS = 4


class TrialFailedError(Exception):
    """The task's code raised, or memory ran out (`oom`); the message is the trial's reason."""


@contextmanager
def failures() -> Iterator[None]:
    """Turns whatever a task's code raises inside into TrialFailedError."""
    try:
        yield
    except Exception as error:
        raise TrialFailedError("oom" if out_of_memory(error) else describe(error)) from error


def out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, on the device or off it, here or in what led here."""
    if error is None:
        return False
    ours = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return ours or "can't allocate memory" in str(error) or out_of_memory(error.__cause__)


class TaskCache:
    """The task for given params and its data on the device, kept for the last few params."""

    def __init__(self, loaded: LoadedTask, device: torch.device) -> None:
        self.loaded, self.device = loaded, device
        self._tasks: dict[str, Task] = {}
        self._splits: dict[tuple[str, int], tuple[Data, Data]] = {}
        self._tests: dict[str, Data] = {}
        self._recordings: dict[tuple[str, int | None], Recordings] = {}

    def recordings(self, recipe: Recipe) -> Recordings:
        """What was recorded of cohorts with the recipe's params and batch size."""
        key = (json.dumps(recipe.params, sort_keys=True), recipe.batch_size)
        if key not in self._recordings:
            self._forget(self._recordings)
            self._recordings[key] = Recordings()
        return self._recordings[key]

    def _forget(self, cache: dict[Any, Any]) -> None:
        """Make room: with a searched dropout every trial has params, and data, of its own."""
        while len(cache) >= MOST_TASKS:
            del cache[next(iter(cache))]

    def task(self, params: Mapping[str, Any]) -> Task:
        """Raises TaskError if the task function does not give a Task for these params."""
        key = json.dumps(dict(params), sort_keys=True)
        if key not in self._tasks:
            self._forget(self._tasks)
            self._tasks[key] = self.loaded.make(params)
        return self._tasks[key]

    def batch_size(self, params: Mapping[str, Any]) -> int | None:
        """The task's own for these params; None if it refuses them, as training will then say."""
        try:
            return self.task(params).batch_size
        except TaskError:
            return None

    def splits(self, recipe: Recipe) -> tuple[Task, tuple[Data, Data]]:
        task = self.task(recipe.params)
        size = recipe.batch_size or task.batch_size
        key = (json.dumps(recipe.params, sort_keys=True), size)
        if key not in self._splits:
            self._forget(self._splits)
            self._splits[key] = make_splits(task, size, self.device)
        return task, self._splits[key]

    def test(self, recipe: Recipe) -> Data:
        """The test set, which nothing else gives. Raises TaskError if there is none."""
        key = json.dumps(recipe.params, sort_keys=True)
        if key not in self._tests:
            self._forget(self._tests)
            task = self.task(recipe.params)
            self._tests[key] = make_test(task, task.batch_size, self.device)
        return self._tests[key]


def scored(task: Task, spec: StudySpec) -> Task:
    """The task with what its validations have to compute for the study's objective."""
    if spec.objective.metric != CALIBRATED:
        return task
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


def plan_of(spec: StudySpec, recipe: Recipe, steps_per_epoch: int) -> Plan:
    """When a trial of the study is validated and judged."""
    return make_plan(
        steps_per_epoch=steps_per_epoch,
        total_steps=recipe.total_steps(steps_per_epoch),
        validate_steps=spec.validate_every.steps,
        validate_fraction=spec.validate_every.fraction,
        validate_rungs=spec.validate_every.rungs,
        rungs=spec.pruning.rungs if spec.pruning is not None else (),
    )


def start_training(spec: StudySpec, recipe: Recipe, cache: TaskCache) -> Training:
    """A trial at step 0."""
    task, splits = cache.splits(recipe)
    plan = plan_of(spec, recipe, steps_per_epoch(splits[0], recipe.accumulate))
    return Training(scored(task, spec), recipe, plan, splits, cache.device)


def try_task(task: Task, spec: StudySpec, device: torch.device) -> int:
    """One batch forward and backward, and every metric; returns the optimizer steps of an epoch.

    The test set is made, and no sample of it looked at. All else is computed in the study's
    precision. Raises TaskError in one line for what would make every trial fail.
    """
    _check_fields(task)
    if task.test is not None:
        make_test(task, task.batch_size, torch.device("cpu"))
    train, validation = make_splits(task, task.batch_size, device)
    model = make_model(task, device)
    steps = steps_per_epoch(train, spec.accumulate)
    inputs, targets = next(iter(train.train(0, 0, 0)))
    with autocast(spec.precision, device):
        output = _run(lambda: model(inputs), "the model")
        loss = _run(lambda: task.loss(output, targets), "the loss")
    _check_scalar(loss, "the loss")
    if not loss.requires_grad:
        raise TaskError("the loss does not depend on the model's weights; is it detached?")
    _run(loss.backward, "the backward pass")
    model.eval()
    (inputs, targets), _ = next(iter(validation.validation()))
    with torch.no_grad(), autocast(spec.precision, device):
        output = _run(lambda: model(inputs), "the model on validation data")
        for name, metric in task.metrics.items():
            score = _run(lambda: metric(output, targets), f"metric {name}")  # noqa: B023
            if not isinstance(score, int | float):
                _check_scalar(score, f"metric {name}")
        if spec.objective.metric == CALIBRATED:
            _run(
                lambda: check_cross_entropy(task.loss, output, targets),
                "the loss on validation data",
            )
    return steps


def _check_fields(task: Task) -> None:
    if isinstance(task.model, torch.nn.Module):
        raise TaskError(
            f"model is {type(task.model).__name__}, but a function that returns a new one is needed"
        )
    if not isinstance(task.metrics, Mapping):
        raise TaskError(
            f"metrics is {type(task.metrics).__name__}, but a mapping of names to functions is "
            f"needed"
        )
    if CALIBRATED in task.metrics:
        raise TaskError(
            f"metrics has {CALIBRATED!r}, which lrsearch computes itself; give yours another name"
        )
    functions = {f"metric {name}": metric for name, metric in task.metrics.items()}
    for name, value in {"model": task.model, "loss": task.loss, **functions}.items():
        if not callable(value):
            raise TaskError(f"{name} is {type(value).__name__}, but a function is needed")
    if not isinstance(task.batch_size, int) or task.batch_size < 1:
        raise TaskError(f"batch_size = {task.batch_size!r}, but a whole number from 1 is needed")


def _run(call: Any, what: str) -> Any:
    try:
        return call()
    except LrsearchError:
        raise
    except Exception as error:
        raise TaskError(f"{what} raised {describe(error)}") from error


def _check_scalar(value: Any, what: str) -> None:
    if not isinstance(value, torch.Tensor):
        raise TaskError(f"{what} gave {type(value).__name__}, but a scalar tensor is needed")
    if value.numel() != 1 or value.dim() != 0:
        raise TaskError(
            f"{what} gave a tensor of shape {tuple(value.shape)}, but a scalar is needed; "
            f"take its mean"
        )
