"""Planned halving, replayed: runs wait at rungs, and the best of all that wait go on."""

import math
from bisect import insort
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import replay_scores as scores
from replay_rules import PRUNING, Ended, at_progress, halving
from replay_table import Run, Table

from lrsearch.confirmation.budget import LEAST_PRUNED_RUNS as LEAST
from lrsearch.trial import halving as halving_plan
from lrsearch.trial.halving import Account, Stage

#: Where a run's stages end, in epochs, the last at its horizon; two may end at the same epoch.
Ends = Callable[[Run], Sequence[int]]


def ends_at_progress(run: Run) -> list[int]:
    """At the service's rungs."""
    return _ends(at_progress(run.horizon), run.horizon, start=0)


def ends_after_fall(run: Run) -> list[int]:
    """At the service's rungs of what is left of the run when its rate begins to fall."""
    left = run.horizon - run.falls
    return _ends(at_progress(left), left, start=run.falls)


def _ends(placed: Mapping[int, int], left: int, start: int) -> list[int]:
    """Rungs that the run does not have end where the one before does, and cost nothing."""
    epochs = {rung: start + epoch for epoch, rung in placed.items()}
    ends: list[int] = []
    for rung in range(len(PRUNING.rungs)):
        ends.append(epochs.get(rung, ends[-1] if ends else start + left))
    return [*ends, start + left]


class Search:
    """One worker that trains what the plan says, until the plan is carried out."""

    def __init__(self, order: Sequence[Run], stages: Sequence[Stage], ends: Ends) -> None:
        self.stages, self.ends = stages, ends
        #: Each with its number; the next one is the last.
        self.new = list(reversed(list(enumerate(order))))
        self.charged = [0.0] * len(stages)
        #: Before each stage, the best first: what they have shown, their number, themselves.
        self.waiting: list[list[tuple[float, int, Run]]] = [[] for _ in stages]

    def carry_out(self) -> Iterator[Ended]:
        """Those that reach their ends, as they do."""
        while (stage := halving_plan.next_stage(self.stages, self._accounts())) is not None:
            number, run = self.new.pop() if stage == 0 else self.waiting[stage].pop(0)[1:]
            start, end = self._stretch(run, stage)
            self.charged[stage] += min(end, run.epochs) - start
            if run.epochs < end or (run.epochs == end and run.diverged):
                continue
            if stage + 1 == len(self.stages):
                yield Ended(math.fsum(self.charged), run.value)
            else:
                insort(self.waiting[stage + 1], (run.signal[end - 1], number, run))

    def _stretch(self, run: Run, stage: int) -> tuple[int, int]:
        start, end = [0, *self.ends(run)][stage : stage + 2]
        return start, end

    def _accounts(self) -> list[Account]:
        new = self.new[-1][1] if self.new else None
        heads = [new, *(line[0][2] if line else None for line in self.waiting[1:])]
        return [
            Account(
                charged=charged,
                waiting=len(line),
                next_cost=None if run is None else self._cost(run, stage),
            )
            for stage, (run, line, charged) in enumerate(
                zip(heads, self.waiting, self.charged, strict=True)
            )
        ]

    def _cost(self, run: Run, stage: int) -> int:
        start, end = self._stretch(run, stage)
        return end - start


def planned(table: Table, order: Sequence[Run], budget: float, ends: Ends) -> Iterator[Ended]:
    """The plan for a budget in trial equivalents, over runs in this order."""
    fractions = [*PRUNING.rungs, 1.0]
    stages = halving_plan.make_stages(
        budget * table.mean_horizon, [fraction * table.mean_horizon for fraction in fractions]
    )
    return Search(order, stages, ends).carry_out()


def regrets(table: Table, order: Sequence[Run], ends: Ends) -> np.ndarray:
    """Regret at each budget of the grid [B], each whole number of runs with a plan of its own.

    Smaller budgets than the service plans are the asynchronous rule's; between two whole
    numbers the lower one's plan stands.
    """
    regret = scores.regrets(table, halving(order))
    for budget in range(LEAST, scores.BUDGETS[-1] + 1):
        found = scores.regrets(table, planned(table, order, budget, ends))
        regret[scores.at(budget) : scores.at(budget + 1)] = found[-1]
    return regret
