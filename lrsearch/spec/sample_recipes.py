"""A few recipes of a space before any is trained: for its picture and its first check."""

import math
import random
from collections.abc import Sequence
from typing import Any

from lrsearch.plain_data import Fields
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.trial.rounding import floor


class RandomTrial:
    """Draws each parameter at random, with a seed; some may be given."""

    def __init__(self, seed: int, given: Fields) -> None:
        self._random = random.Random(seed)
        self._given = given

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        if step is not None:
            return low + step * self._random.randint(0, floor((high - low) / step))
        if log:
            drawn = math.exp(self._random.uniform(math.log(low), math.log(high)))
            return min(max(drawn, low), high)
        return self._random.uniform(low, high)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        if log:
            return round(self.suggest_float(name, low, high, log=True))
        return low + step * self._random.randint(0, (high - low) // step)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._given[name] if name in self._given else self._random.choice(choices)


def sample(spec: StudySpec, count: int, batch_size: int | None) -> list[Recipe]:
    """`count` recipes of the study's space that between them show its optimizers and schedules.

    `batch_size` is the task's own, where it is not searched; None where it is not known.
    """
    optimizers, schedules = list(spec.space.optimizers), list(spec.space.schedules)
    recipes = []
    for i in range(count):
        # Along the diagonals of the table of pairs, so that both vary from one to the next.
        shift = i // math.lcm(len(optimizers), len(schedules))
        pair = {
            "optimizer": optimizers[(i + shift) % len(optimizers)],
            "schedule": schedules[i % len(schedules)],
        }
        trial = RandomTrial(spec.seed + i, pair)
        fields = spec.space.suggest(trial, lambda params: batch_size, accumulate=spec.accumulate)
        size = fields["params"].get("batch_size", batch_size)
        recipes.append(spec.recipe(fields, batch_size=size))
    return recipes
