"""The tasks that a process has made, by their params, so that trials share model and data."""

import json
from collections.abc import Callable
from itertools import chain
from typing import TypeVar

import torch

from lrsearch.errors import TaskError
from lrsearch.plain_data import Fields
from lrsearch.recipe.recipe import Recipe
from lrsearch.task.batch_size import batch_size_of
from lrsearch.task.task import LoadedTask, Task
from lrsearch.training.compiled_step import CompiledSteps
from lrsearch.training.data import Data, end_workers, make_splits, make_test
from lrsearch.training.recorded_step import Recordings

K = TypeVar("K")
V = TypeVar("V")
#: Params and batch size, whose trials repeat one step.
Programs = tuple[str, int | None]
#: Params whose task and data a worker keeps.
MOST_TASKS = 4


class TaskCache:
    """The task for given params and its data on the device, kept for the last few params."""

    def __init__(self, loaded: LoadedTask, device: torch.device) -> None:
        self.loaded, self.device = loaded, device
        self._tasks: dict[str, Task] = {}
        self._splits: dict[tuple[str, int], tuple[Data, Data]] = {}
        self._tests: dict[str, Data] = {}
        self._sizes: dict[str, int] = {}
        self._recordings: dict[Programs, Recordings] = {}
        self._compiled: dict[Programs, CompiledSteps] = {}

    def recordings(self, recipe: Recipe) -> Recordings:
        """What was recorded of cohorts with the recipe's params and batch size."""
        return self._kept(self._recordings, recipe, Recordings)

    def compiled_steps(self, recipe: Recipe) -> CompiledSteps:
        """What was compiled for the recipe's params and batch size."""
        return self._kept(self._compiled, recipe, CompiledSteps)

    def _kept(self, kept: dict[Programs, V], recipe: Recipe, make: Callable[[], V]) -> V:
        key = (json.dumps(recipe.params, sort_keys=True), recipe.batch_size)
        if key not in kept:
            self._forget(kept)
            kept[key] = make()
        return kept[key]

    def _forget(self, cache: dict[K, V]) -> None:
        """Make room: with a searched dropout every trial has params, and data, of its own."""
        while len(cache) >= MOST_TASKS:
            del cache[next(iter(cache))]

    def task(self, params: Fields) -> Task:
        """Raises TaskError if the task function does not give a Task for these params."""
        key = json.dumps(dict(params), sort_keys=True)
        if key not in self._tasks:
            self._forget(self._tasks)
            self._tasks[key] = self.loaded.make(params)
        return self._tasks[key]

    def _own_size(self, params: Fields) -> int:
        key = json.dumps(dict(params), sort_keys=True)
        if key not in self._sizes:
            self._forget(self._sizes)
            self._sizes[key] = batch_size_of(self.task(params), params)
        return self._sizes[key]

    def batch_size(self, params: Fields) -> int | None:
        """The task's own for these params; None if it refuses them, as training will then say."""
        try:
            return self._own_size(params)
        except TaskError:
            return None

    def splits(self, recipe: Recipe) -> tuple[Task, tuple[Data, Data]]:
        task = self.task(recipe.params)
        size = recipe.batch_size or self._own_size(recipe.params)
        key = (json.dumps(recipe.params, sort_keys=True), size)
        if key not in self._splits:
            self._forget(self._splits)
            for split in chain(*self._splits.values()):
                end_workers(split)  # else those of every params would wait beside each other
            self._splits[key] = make_splits(task, size, self.device, recipe.accumulate)
        return task, self._splits[key]

    def test(self, recipe: Recipe) -> Data:
        """The test set, which nothing else gives. Raises TaskError if there is none."""
        key = json.dumps(recipe.params, sort_keys=True)
        if key not in self._tests:
            self._forget(self._tests)
            task = self.task(recipe.params)
            self._tests[key] = make_test(task, task.batch_size, self.device)
        return self._tests[key]

    def close(self) -> None:
        """Let DataLoader workers end."""
        for split in chain(*self._splits.values(), self._tests.values()):
            end_workers(split)
