"""Recipes through lrsearch's engines as a worker trains them, but without a database."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from lrsearch.recipe import Recipe
from lrsearch.spec import StudySpec
from lrsearch.training.setup import TaskCache, start_training

#: Steps between a worker's looks at its trials.
STEPS = 16


class SoloEngine:  # until lrsearch has it
    size = 1
    name = "solo"

    def __init__(self, spec: StudySpec, cache: TaskCache) -> None:
        self.spec, self.cache = spec, cache
        self.slots: list[Any] = []

    def takes(self, recipe: Recipe) -> bool:
        return not self.slots

    def may_join(self) -> bool:
        return not self.slots

    def admit(self, recipe: Recipe) -> Any:
        self.slots = [start_training(self.spec, recipe, self.cache)]
        return self.slots[0]

    def advance(self, steps: int) -> None:
        (t,) = self.slots
        t.advance(min(t.next_validation, t.step + steps))

    def due(self) -> list[Any]:
        (t,) = self.slots
        return [t] if t.step >= t.next_validation and t.diverged is None else []

    def validate(self, slots: list[Any], *, with_ema: Callable[[Any], bool]) -> list[Any]:
        return [t.validate(with_ema=with_ema(t)) for t in slots]

    def drop(self, slot: Any) -> None:
        self.slots = []

    def shrink(self) -> None:
        pass


def train_all(make_engine: Callable[[], Any], recipes: Sequence[Recipe]) -> list[float]:
    """Train every recipe to its end; places are filled again as trials end. Their last losses.

    NaN for one that diverged.
    """
    losses = [math.nan] * len(recipes)
    waiting = deque(enumerate(recipes))
    numbers: dict[int, int] = {}
    engine = make_engine()
    while waiting or engine.slots:
        if not engine.slots and not engine.takes(waiting[0][1]):
            engine = make_engine()  # a cohort of a model with random numbers is not joined later
        while waiting and engine.may_join() and engine.takes(waiting[0][1]):
            number, recipe = waiting.popleft()
            numbers[id(engine.admit(recipe))] = number
        if not waiting:
            engine.shrink()
        engine.advance(STEPS)
        due = engine.due()
        for slot, row in zip(
            due, engine.validate(due, with_ema=_judged) if due else (), strict=True
        ):
            losses[numbers[id(slot)]] = row.val_loss
        for slot in [slot for slot in engine.slots if slot.done]:
            if slot.diverged is not None:
                losses[numbers[id(slot)]] = math.nan
            del numbers[id(slot)]
            engine.drop(slot)
    return losses


def _judged(slot: Any) -> bool:
    """Whether the worker validates the averaged weights as well: at rungs and at the end."""
    number = slot.validated + 1
    return number in slot.plan.rungs or number == len(slot.plan.validations)
