"""Recipes through lrsearch's engines as a worker trains them, but without a database."""

import math
from collections import deque
from collections.abc import Callable, Sequence

from lrsearch.recipe import Recipe
from lrsearch.training.engine import Engine
from lrsearch.training.slot import Slot

#: Steps between a worker's looks at its trials.
STEPS = 16


def train_all(make_engine: Callable[[], Engine], recipes: Sequence[Recipe]) -> list[float]:
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


def _judged(slot: Slot) -> bool:
    """Whether the worker validates the averaged weights as well: at rungs and at the end."""
    number = slot.validated + 1
    return number in slot.plan.rungs or number == len(slot.plan.validations)
