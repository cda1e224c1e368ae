"""How wide the range of learning rates is in which a recipe's optimizer does well."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Learning rates within such a step of each other count as one. A quarter decade is x1.8.
STEP_DECADES = 0.25
#: So many steps without a trial are crossed between trials that do well.
GAP_STEPS = 1
#: Trials of the optimizer below which a width would tell how they were drawn, and nothing else.
LEAST_TRIALS = 8


@dataclass(frozen=True, kw_only=True)
class LrTrial:
    """A trial at its peak learning rate."""

    lr: float
    #: Lower is better; None for one that did not reach its end, whatever it showed before.
    loss: float | None


def width(lr: float, trials: Iterable[LrTrial], limit: float) -> float | None:
    """Decades around `lr` in which the best trial of each step has at most the loss `limit`.

    `trials` are all ended ones of the recipe's optimizer, and the step around `lr` is the recipe's
    own, so that the width is never less than one step. Pruned and diverged trials do not reach the
    limit. None for too few trials.
    """
    found = _steps(lr, trials, limit)
    return None if found is None else STEP_DECADES * (1 + found[0] + found[1])


@dataclass(frozen=True, kw_only=True)
class Span:
    """A range of learning rates, in torch's units."""

    low: float
    high: float
    #: Whether it ends where the trials do, and may go on.
    open_low: bool = False
    open_high: bool = False


def span(lr: float, trials: Sequence[LrTrial], limit: float) -> Span | None:
    """The lowest and the highest learning rate of that width."""
    found = _steps(lr, trials, limit)
    if found is None:
        return None
    down, up = (10 ** (STEP_DECADES * (steps + 0.5)) for steps in found)
    low, high = lr / down, lr * up
    return Span(
        low=low,
        high=high,
        open_low=all(trial.lr >= low for trial in trials),
        open_high=all(trial.lr <= high for trial in trials),
    )


def _steps(lr: float, trials: Iterable[LrTrial], limit: float) -> tuple[int, int] | None:
    """How many steps below and above the one around `lr` do well."""
    best: dict[int, float] = {}
    count = 0
    for trial in trials:
        step = round(math.log10(trial.lr / lr) / STEP_DECADES)
        loss = math.inf if trial.loss is None else trial.loss
        best[step] = min(best.get(step, math.inf), loss)
        count += 1
    if count < LEAST_TRIALS:
        return None
    best[0] = -math.inf
    return _reach(best, limit, -1), _reach(best, limit, +1)


def _reach(best: dict[int, float], limit: float, direction: int) -> int:
    """Steps in one direction to the last that does well before one that does not, or a gap."""
    reached, step = 0, 0
    while step - reached <= GAP_STEPS:
        step += 1
        loss = best.get(direction * step)
        if loss is None:
            continue
        if loss > limit:
            break
        reached = step
    return reached
