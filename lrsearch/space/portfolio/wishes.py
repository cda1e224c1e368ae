"""A trial that answers with what it is given, moved to the nearest value that is on offer."""

import json
import math
from collections.abc import Mapping, Sequence

from lrsearch.plain_data import Unchecked
from lrsearch.trial.rounding import floor
from lrsearch.user_input import is_number


class Wishes:
    """Answers a space's questions; without a wish it takes the middle, or the first choice.

    `moved` has, by name, how far an answer is from its wish, as a factor of at least 1.
    """

    def __init__(self, values: Mapping[str, Unchecked]) -> None:
        """`values`: by the sampler's names and units; a decay rate also by its own name."""
        self._values = values
        self.moved: dict[str, float] = {}

    def _wish(self, name: str) -> Unchecked:
        owner, _, key = name.rpartition(".")
        if key.startswith("1-"):  # the sampler's name of a decay rate's complement
            wish = self._values.get(f"{owner}.{key[2:]}")
            return 1 - wish if isinstance(wish, int | float) else None
        return self._values.get(name)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        wish = self._wish(name)
        if not isinstance(wish, int | float):
            wish = math.sqrt(low * high) if log else (low + high) / 2
        nearest = min(max(float(wish), low), high)
        if step is not None:
            last = floor((high - low) / step)
            nearest = low + min(round((nearest - low) / step), last) * step
        self.moved[name] = _factor(nearest, float(wish))
        return nearest

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return round(self.suggest_float(name, low, high, step=step, log=log))

    def suggest_categorical(self, name: str, choices: Sequence[Unchecked]) -> Unchecked:
        wish = self._wish(name)
        if isinstance(wish, tuple | list):
            wish = json.dumps(list(wish))  # lists are chosen by their text
        if wish in choices:
            return choices[choices.index(wish)]
        numbers = [choice for choice in choices if is_number(choice)]
        if is_number(wish) and numbers:
            taken = min(numbers, key=lambda choice: _factor(choice, wish))
            self.moved[name] = _factor(taken, wish)
            return taken
        return choices[0]


def _factor(a: float, b: float) -> float:
    """How far two numbers are apart, by the larger ratio; infinite where only one is 0."""
    if a == b:
        return 1.0
    return math.inf if a * b <= 0 else max(a / b, b / a)
