"""The two losses of a run, of its final weights and the lowest of it: they obey different laws.

With `best` the rate that wins is often a higher one: its loss rises again before the end of a long
run, which `last` counts and `best` does not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lrsearch.transfer import constants
from lrsearch.transfer.law import predict
from lrsearch.transfer.optimum import Optimum, find_optimum
from lrsearch.transfer.plan import by_horizon, measured, not_positive
from lrsearch.transfer.runs import Ladder, Run

At = Literal["last", "best"]
#: For each objective the one that a ladder is not about.
OTHER: dict[At, At] = {"last": "best", "best": "last"}
#: From this factor between the two on, it has to be said which is meant.
APART = 2.0


@dataclass(frozen=True, kw_only=True)
class Both:
    """The learning rate for the full horizon by either objective, from the same runs."""

    #: What the ladder is about.
    at: At
    lr: float
    #: By the other objective.
    other: float

    @property
    def is_apart(self) -> bool:
        """Whether the two differ by more than a factor of two."""
        return abs(math.log(self.other / self.lr)) > math.log(APART)


def both(ladder: Ladder, runs: Sequence[Run], others: Sequence[Run], at: At) -> Both | None:
    """What runs say by the ladder's objective and by the other; None where they say nothing.

    `others` are the same runs with the other loss. From long runs it is their optimum, else what
    the short runs predict.
    """
    if not_positive([*runs, *others]) is not None:
        return None
    lr, other = _lr(ladder, runs), _lr(ladder, others)
    return None if lr is None or other is None else Both(at=at, lr=lr, other=other)


def _lr(ladder: Ladder, runs: Sequence[Run]) -> float | None:
    found: list[Optimum] = []
    for rung in by_horizon(ladder, runs).values():
        lrs = {run.lr for run in rung if run.loss is not None}
        if len(lrs) < constants.LEAST_POINTS:
            break
        found.append(find_optimum(rung, found[-1] if found else None))
    if not found:
        return None
    if found[-1].horizon == ladder.to:
        return found[-1].lr
    predicted = predict(measured(ladder, found), ladder.octaves(ladder.to))
    return math.exp(predicted.likeliest.x + ladder.shift)
