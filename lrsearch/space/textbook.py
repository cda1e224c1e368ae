"""Textbook recipes, moved into a space: what one would try before any search.

Three first shots, not more: on two recorded sets the regret at 20 trials' epochs was .068 with 3,
.080 with none, .113 with 8, which anchor the sampler (digits MLP, log loss), and .46, .50, .48
(Fashion-MNIST subset, error points). In benchmarks/README.md 3 and none come out about even.
Sources of the values, by key:
[WRN] Wide residual networks (Zagoruyko & Komodakis 2016), at batch 128: SGD with Nesterov momentum.
[AW] torch.optim.AdamW's defaults.
[AP] AlgoPerf (Dahl et al. 2023): warm-up of 5 %; Goyal et al. 2017 have 5 of 90 epochs for SGD.
"""

import json
import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.catalog.script import SCRIPT
from lrsearch.plain_data import Document, Fields
from lrsearch.space.search_space import SearchSpace, pair_of
from lrsearch.trial.rounding import floor
from lrsearch.user_input import is_number

#: Optimizer and schedule of the first recipes.
FIRST = (("sgd", "cosine"), ("adamw", "cosine"), ("adamw", "one_cycle"))
#: Schedules of the further ones, before the space's first.
FURTHER_SCHEDULES = ("cosine", "one_cycle", "linear")
#: What the fields are, in torch's units but for `sgd.lr`, which is momentum-equivalent; a field
#: that is not here or in the schedules' defaults takes the middle of its domain.
VALUES: Fields = {
    "sgd.lr": 0.05,  # [WRN] 0.1 at batch 128; this is at 64
    "sgd.momentum": 0.9,  # [WRN]
    "sgd.dampening": 0.0,  # [WRN]
    "sgd.nesterov": True,  # [WRN]
    "sgd.weight_decay": 5e-4,  # [WRN]
    "adamw.lr": 1e-3,  # [AW]
    "adamw.betas": (0.9, 0.999),  # [AW]
    "adamw.beta1": 0.9,  # [AW]
    "adamw.beta2": 0.999,  # [AW]
    "adamw.weight_decay": 0.01,  # [AW]
    "warmup": 0.05,  # [AP]
    **{f"{name}.{key}": v for name, info in SCHEDULES.items() for key, v in info.defaults.items()},
}


def textbook_recipes(
    space: SearchSpace, count: int, batch_size: int | None = None, *, accumulate: int = 1
) -> list[Document]:
    """At most `count` recipes (optimizer, schedule, warmup, params), each inside the space.

    First those of `FIRST` that the space holds, then its other optimizers with the usual schedules;
    no pair twice, so there are fewer where the space has fewer pairs. A value outside its domain
    is moved to the nearest that the domain holds, a fixed one is taken as it is. `sgd.lr` follows
    `batch_size`, the task's own, and how many batches an optimizer step takes.
    """
    recipes: list[Document] = []
    for pair in _pairs(space):
        if len(recipes) >= count:
            break
        recipe = space.suggest(_Textbook(*pair), lambda params: batch_size, accumulate=accumulate)
        # A space that moves a pair to a legal one may come to a pair that is there already.
        whole = {**recipe, "accumulate": accumulate}
        is_new = pair_of(recipe) not in map(pair_of, recipes)
        if is_new and space.params_of(whole, batch_size) is not None:
            recipes.append(recipe)
    return recipes


def _pairs(space: SearchSpace) -> Iterator[tuple[str, str]]:
    schedules = dict.fromkeys([*FURTHER_SCHEDULES, *list(space.schedules)[:1]])
    further = [(o, s) for s, o in product(schedules, space.optimizers)]
    for optimizer, schedule in dict.fromkeys([*FIRST, *further]):
        known = optimizer != SCRIPT  # of which no textbook says anything
        if known and optimizer in space.optimizers and schedule in space.schedules:
            yield optimizer, schedule


class _Textbook:
    """A trial that answers with the textbook's value, moved to the nearest one on offer."""

    def __init__(self, optimizer: str, schedule: str) -> None:
        self._values = {**VALUES, "optimizer": optimizer, "schedule": schedule}

    def _wish(self, name: str) -> Any:
        owner, _, key = name.rpartition(".")
        if key.startswith("1-"):  # the sampler's name of a decay rate's complement
            wish = self._values.get(f"{owner}.{key[2:]}")
            return None if wish is None else 1 - wish
        return self._values.get(name)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        wish = self._wish(name)
        middle = math.sqrt(low * high) if log else (low + high) / 2
        nearest = middle if wish is None else min(max(float(wish), low), high)
        if step is None:
            return nearest
        last = floor((high - low) / step)
        return low + min(round((nearest - low) / step), last) * step

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return round(self.suggest_float(name, low, high, step=step, log=log))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        wish = self._wish(name)
        if isinstance(wish, tuple):
            wish = json.dumps(wish)  # lists are chosen by their text
        if wish in choices:
            return choices[choices.index(wish)]
        numbers = [choice for choice in choices if is_number(choice)]
        if is_number(wish) and numbers:
            return min(numbers, key=lambda choice: abs(choice - wish))
        return choices[0]
