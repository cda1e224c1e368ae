"""What a ladder says: the learning rate of the long run, its interval, and what speaks against."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from lrsearch.transfer import batch, constants
from lrsearch.transfer.law import Prediction, predict
from lrsearch.transfer.optimum import Optimum, Point, find_optimum
from lrsearch.transfer.plan import Cost, by_horizon, measured, next_runs, not_positive, paid
from lrsearch.transfer.runs import Ladder, Run

#: What speaks against relying on the law.
Flag = Literal["kink", "regimes", "overfit", "vague", "disagree"]
#: Standard deviations within which ln loss does not tell two learning rates apart.
TOLD_APART = 2.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The learning rate of the run of the full horizon, as far as the runs tell."""

    ladder: Ladder
    #: By rung, the shortest first; the full horizon's last, if it was trained.
    optima: tuple[Optimum, ...]
    #: What the rungs below the full horizon predict for it.
    predicted: Prediction
    #: None where nothing can be told; `refusal` says why.
    lr: float | None
    #: The central 90 %.
    interval: tuple[float, float] | None
    #: Whether no run of the full horizon stands behind it.
    is_guess: bool
    flags: tuple[Flag, ...] = ()
    #: Why there is no learning rate, in words.
    refusal: str = ""
    cost: Cost
    is_complete: bool

    @property
    def rungs(self) -> tuple[Optimum, ...]:
        """The optima below the full horizon."""
        return tuple(each for each in self.optima if each.horizon < self.ladder.to)

    @property
    def longest(self) -> Optimum:
        """The optimum of the longest rung below the full horizon."""
        return self.rungs[-1]

    @property
    def probes(self) -> tuple[Point, ...]:
        """The learning rates trained over the full horizon."""
        last = self.optima[-1]
        return last.points if last.horizon == self.ladder.to else ()

    @property
    def guides(self) -> dict[str, float]:
        """What a fixed rule makes of the longest rung's optimum: slopes 0, -1/3 and -1."""
        factor = self.ladder.to / self.longest.horizon
        slopes = {"same lr": 0.0, "T^-1/3": -1 / 3, "lr x T constant": -1.0}
        return {name: self.longest.lr * factor**slope for name, slope in slopes.items()}

    def rise(self, lr: float) -> float:
        """By which factor the loss at `lr` is above that of the answer, after the nearest curve.

        The curve is that of the full horizon where it was trained, else of the longest rung.
        """
        assert self.lr is not None
        curvature = math.exp(self.optima[-1].ln_curvature)
        return math.exp(curvature * math.log(lr / self.lr) ** 2)


def answer(ladder: Ladder, runs: Sequence[Run]) -> Answer | None:
    """What these runs say; None before the first rung has ended, and where it told nothing."""
    if not_positive(runs) is not None:
        return None
    due = next_runs(ladder, runs)
    trained = by_horizon(ladder, runs)
    waiting = {run.horizon for run in due}
    found: list[Optimum] = []
    for horizon in ladder.rungs:
        if not trained[horizon] or horizon in waiting or _all_diverged(trained[horizon]):
            break
        found.append(find_optimum(trained[horizon], found[-1] if found else None))
    below = [each for each in found if each.horizon < ladder.to]
    if not below:
        return None
    full = found[-1] if found[-1].horizon == ladder.to else None
    known = _Known(ladder=ladder, below=below, full=full, due=bool(due))
    refusal = known.refusal()
    lr, interval = (None, None) if refusal else known.lr_and_interval()
    return Answer(
        ladder=ladder,
        optima=tuple(found),
        predicted=known.predicted,
        lr=lr,
        interval=interval,
        is_guess=full is None,
        flags=known.flags(),
        refusal=refusal,
        cost=paid(ladder, runs),
        is_complete=not due,
    )


def nothing_told(ladder: Ladder, runs: Sequence[Run]) -> str:
    """Why there is no answer, in words."""
    loss = not_positive(runs)
    if loss is not None:
        return f"a run has a loss of {loss:g}, but the law is one of ln loss: it has to be above 0"
    if next_runs(ladder, runs):
        return f"the runs of horizon {ladder.horizons[0]} have not ended"
    if _all_diverged(runs):
        return f"every run of horizon {ladder.horizons[0]} diverged or failed"
    return (
        f"the best of horizon {ladder.horizons[0]} lies at an end of its learning rates after "
        f"{constants.EXTENSIONS} more beyond the first ones: its loss has no minimum there"
    )


def _all_diverged(runs: Sequence[Run]) -> bool:
    return all(run.loss is None for run in runs)


@dataclass(frozen=True, kw_only=True)
class _Known:
    """The rungs below the full horizon, and its own if it was trained."""

    ladder: Ladder
    below: Sequence[Optimum]
    full: Optimum | None
    #: Whether more runs are due.
    due: bool
    predicted: Prediction = field(init=False)

    def __post_init__(self) -> None:
        ladder = self.ladder
        found = predict(measured(ladder, self.below), ladder.octaves(ladder.to))
        branches = tuple(replace(each, x=each.x + ladder.shift) for each in found.branches)
        object.__setattr__(self, "predicted", Prediction(branches=branches))

    def lr_and_interval(self) -> tuple[float, tuple[float, float]]:
        """Of the probes the best; without them what the likelier regime predicts.

        Probes tell no more than their grid does: the interval reaches half a step from the best.
        """
        ladder = self.ladder
        if self.full is None:
            low, high = self._stretched(self.predicted.interval)
            if ladder.batch is not None:  # no theory tells how far the rule misses
                low, high = low - constants.STEP, high + constants.STEP
            return math.exp(self.predicted.likeliest.x), (math.exp(low), math.exp(high))
        # The short runs of another batch tell where to look, and nothing of how sure that is.
        below = self.below if ladder.batch is None else ()
        everything = measured(ladder, [*below, self.full])
        low, high = predict(everything, ladder.octaves(ladder.to)).interval
        best, grid = self.full.best, constants.GRID
        return best.lr, (math.exp(min(low, best.x - grid)), math.exp(max(high, best.x + grid)))

    def _stretched(self, interval: tuple[float, float]) -> tuple[float, float]:
        """The best lr may rise after the longest rung; where samples are reused, it may also fall.

        It falls where overfitting begins right after that rung.
        """
        low, high = interval
        last = self.below[-1]
        start = last.x + self.ladder.shift
        high = max(high, start + constants.MAY_RISE)
        if not self.ladder.reuses_data:
            return low, high
        worst = constants.WORST_SLOPE * math.log(self.ladder.to / last.horizon)
        return min(low, start + worst - constants.MARGIN), high

    def refusal(self) -> str:
        """Why the runs give no learning rate, in words; empty if they do."""
        last = self.full or self.below[-1]
        if last.is_open:
            end = "lowest" if last.best is last.points[0] else "highest"
            first = self.ladder.points(self.ladder.rungs.index(last.horizon))
            return (
                f"the best of horizon {last.horizon} is its {end} learning rate, "
                f"{last.best.lr:.3g}, after {len(last.points) - first} more beside the first "
                f"ones: its loss has no minimum there"
            )
        why = batch.refusal(self.ladder.batch, last)
        if why and last.horizon == self.ladder.horizons[-1]:
            return why
        if self.full is None and not self.due and last.horizon < self.ladder.horizons[-1]:
            return f"every run of the horizon after {last.horizon} diverged"
        if self.full is None and last.spread > constants.MOST_SPREAD:
            more = math.ceil(self.ladder.seeds * (last.spread / constants.MOST_SPREAD) ** 2)
            return (
                f"the best lr of horizon {last.horizon} is known within a factor "
                f"{math.exp(last.spread):.2g} only (one standard deviation); about "
                f"{max(more, self.ladder.seeds + 1)} seeds are needed, or probes"
            )
        return ""

    def flags(self) -> tuple[Flag, ...]:
        found: list[Flag] = []
        if self._has_kink():
            found.append("kink")
        overfitting = self.predicted.overfitting
        low, high = constants.UNSURE
        if low < overfitting < high:
            found.append("regimes")
        if overfitting >= high:
            found.append("overfit")
        if self.below[-1].spread > constants.MOST_SPREAD:
            found.append("vague")
        if self.full is not None and self._disagrees(self.full):
            found.append("disagree")
        return tuple(found)

    def _has_kink(self) -> bool:
        """Whether the slope per octave of the last two rungs differs from that before."""
        if len(self.below) < constants.LEAST_RUNGS:
            return False
        places = measured(self.ladder, self.below[-3:])
        a, b, c = places
        first, second = b.octaves - a.octaves, c.octaves - b.octaves
        bend = ((c.x - b.x) / second - (b.x - a.x) / first) / math.log(2)
        parts = (c.spread / second, b.spread * (1 / first + 1 / second), a.spread / first)
        spread = math.hypot(*parts) / math.log(2)
        return abs(bend) > constants.KINK and abs(bend) > constants.KINK_SPREADS * spread

    def _disagrees(self, full: Optimum) -> bool:
        """Whether a probe beats the one nearest to the prediction by more than seeds differ."""
        expected = self.predicted.likeliest.x
        nearest = min(full.points, key=lambda point: abs(point.x - expected))
        spread = full.seed_spread * math.sqrt(2 / nearest.runs)
        return nearest.y - full.best.y > TOLD_APART * spread
