"""A study that is compared with others."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lrsearch.recipe.recipe import Recipe
from lrsearch.report.answer.safe_rates import LEAST_FITTED
from lrsearch.report.model import Report
from lrsearch.trial.states import TrialState

if TYPE_CHECKING:
    from lrsearch.advice.lr_basin import Safe
    from lrsearch.report.figures.data.basins import LrPanel


@dataclass(frozen=True, kw_only=True)
class Rates:
    """A range of learning rates."""

    low: float
    high: float
    #: Whether the range ends where the trials do, and may go on.
    open_low: bool
    open_high: bool


@dataclass(frozen=True, kw_only=True)
class OptimizerRates:
    """What the trials of one optimizer say of its learning rates, in one study."""

    optimizer: str
    #: Ended trials, those that failed left out.
    trials: int
    complete: int
    diverged: int
    #: Value and learning rate, in torch's units, of the best complete one; None if none is.
    best: float | None
    best_lr: float | None
    #: Whose value a fitted basin puts within 1 % and 5 % of the best, as far as trials reach; None
    #: for fewer than `safe_rates.LEAST_FITTED` trials, and where few of them are complete.
    percent_1: Rates | None
    percent_5: Rates | None
    #: Trials near the best that tell these two; fewer than LEAST_FITTED tell them too narrow.
    fitted: int
    #: Whether these two are at momentum 0.9 and 64 samples, as the study searched momentum or batch
    #: size; else they are in torch's units, at the study's own.
    equivalent: bool


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A study, and what the comparison calls it."""

    #: Its name; with its database where another one has the same name.
    label: str
    report: Report
    #: Its database, where that was named with it.
    url: str | None = None

    @property
    def fresh(self) -> dict[int, float]:
        """Values of the recommended recipe by fresh seed; empty until it is confirmed."""
        winner = self.report.winner
        return {} if winner is None else winner.scores

    @property
    def value(self) -> float | None:
        """Mean on fresh seeds, else the value of the search's best trial."""
        winner, best = self.report.winner, self.report.best
        if winner is not None:
            return winner.mean
        return None if best is None else best.value

    @cached_property
    def panels(self) -> "tuple[LrPanel, ...]":
        """Its optimizers with their fitted basins; loads numpy."""
        from lrsearch.report.figures.data.basins import optimizer_panels

        return optimizer_panels(self.report)

    @cached_property
    def rates(self) -> tuple[OptimizerRates, ...]:
        """Of each optimizer that an ended trial has, in the order of the space."""
        names = [recipe.optimizer_name for recipe, _, _ in self._ended()]
        known = list(self.report.spec.space.optimizers)
        others = [name for name in dict.fromkeys(names) if name not in known]
        return tuple(self._rates_of(name) for name in (*known, *others) if name in names)

    def _ended(self) -> list[tuple[Recipe, str, float | None]]:
        """Recipe, state and value of each trial that tells something of its learning rate."""
        return [
            (trial.parsed, trial.state, trial.value if trial.is_scored else None)
            for trial in self.report.trials
            if trial.has_ended and trial.state != TrialState.FAILED and trial.parsed is not None
        ]

    def _rates_of(self, name: str) -> OptimizerRates:
        mine = [found for found in self._ended() if found[0].optimizer_name == name]
        scored = [(value, recipe.lr) for recipe, _, value in mine if value is not None]
        loss = self.report.spec.objective.loss
        best = min(scored, key=lambda pair: loss(pair[0]), default=(None, None))
        panel = self._panel(name) if len(mine) >= LEAST_FITTED else None
        basin = panel.basin if panel is not None and panel.is_sure else None
        small, large = (None, None) if basin is None else basin.safe
        return OptimizerRates(
            optimizer=name,
            trials=len(mine),
            complete=len(scored),
            diverged=sum(state == TrialState.DIVERGED for _, state, _ in mine),
            best=best[0],
            best_lr=best[1],
            percent_1=None if small is None else _rates(small),
            percent_5=None if large is None else _rates(large),
            fitted=0 if basin is None else basin.trials,
            equivalent=panel is not None and panel.equivalent,
        )

    def _panel(self, name: str) -> "LrPanel | None":
        return next((panel for panel in self.panels if panel.optimizer == name), None)


def _rates(safe: "Safe") -> Rates:
    ends = {"open_low": safe.open_low, "open_high": safe.open_high}
    return Rates(low=safe.low, high=safe.high, **ends)
