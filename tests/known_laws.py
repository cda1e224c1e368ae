"""Simulated training runs with a known law: what a ladder trains, and what it should find."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lrsearch.transfer.plan import next_runs
from lrsearch.transfer.runs import Ladder, PlannedRun, Run

LADDER = Ladder(horizons=(1, 2, 4, 8), to=64, centre=0.03)


@dataclass(frozen=True, kw_only=True)
class Law:
    """ln loss is a parabola around the best lr of each horizon."""

    slope: float
    at_first: float = 0.03
    curvature: float = 0.3
    noise: float = 0.005
    #: From this horizon on, the slope is the second one.
    bend: float = math.inf
    after: float = 0.0
    #: Runs with a higher lr than this diverge.
    cliff: float = math.inf
    unit: float = 1.0

    def best(self, horizon: float) -> float:
        low = min(horizon, self.bend)
        lr = self.at_first * low**self.slope
        return self.unit * (lr if horizon <= self.bend else lr * (horizon / low) ** self.after)

    def train(self, run: PlannedRun) -> Run:
        if run.lr > self.cliff * self.unit:
            return Run(horizon=run.horizon, lr=run.lr, seed=run.seed, loss=None)
        draws = np.random.default_rng([run.horizon, round(1e6 * run.lr / self.unit), run.seed])
        x = math.log(run.lr / self.best(run.horizon))
        loss = math.exp(
            self.curvature * x**2 + self.noise * draws.normal() - 0.1 * run.horizon**0.5
        )
        return Run(horizon=run.horizon, lr=run.lr, seed=run.seed, loss=loss)


def trained(ladder: Ladder, train: Callable[[PlannedRun], Run]) -> list[Run]:
    """The runs of a whole ladder, in the order in which they were due."""
    runs: list[Run] = []
    while due := next_runs(ladder, runs):
        runs += [train(run) for run in due]
    return runs
