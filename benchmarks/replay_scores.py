"""What replayed orders are worth: regret over budget, differences, budgets to reach it, recall."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np
from replay_rules import PRUNING, Ended, at_progress
from replay_table import Run, Table

from lrsearch.trial import pruning

#: Budgets in trial equivalents that regret is printed at, and those whose quality is to be reached.
BUDGETS, GOALS = (5, 10, 20, 40), (20, 40)
#: Every budget that is looked at.
GRID = np.arange(0.25, BUDGETS[-1] + 0.125, 0.25)
#: Resampled sets of orders for an interval.
RESAMPLES = 400


def regrets(table: Table, ended: Iterable[Ended]) -> np.ndarray:
    """Regret at each budget of the grid [B].

    The chosen run is the one with the best final value among those that have ended within the
    budget; its regret is how far that value lies above the best of the table. Until one has ended,
    it is that of the table's worst. A rule that has seen all runs stays where it is.
    """
    regret, best, start = np.empty(len(GRID)), table.finals[-1], 0
    limits = GRID * table.mean_horizon
    for run in ended:
        end = int(np.searchsorted(limits, run.spent))
        regret[start:end] = best
        best, start = min(best, run.value), end
        if end == len(GRID):
            break
    regret[start:] = best
    return regret - table.finals[0]


def at(budget: float) -> int:
    """Place of a budget in the grid."""
    return int(np.searchsorted(GRID, budget))


def mean_and_error(values: np.ndarray) -> dict[str, float]:
    """Of one value an order [O]."""
    return {"mean": float(values.mean()), "se": float(values.std(ddof=1) / math.sqrt(len(values)))}


def by_budget(regret: np.ndarray) -> dict[str, dict[str, float]]:
    """Mean and standard error at each budget, of regrets or their differences [O, B]."""
    return {f"{budget}x": mean_and_error(regret[:, at(budget)]) for budget in BUDGETS}


def budgets_to_reach(
    regret: Mapping[str, np.ndarray],
) -> tuple[dict[str, dict[str, float | None]], dict[str, dict[str, list[float | None]]]]:
    """The least budget at which a rule's mean regret is that of another at 20x and 40x, or less.

    Beside it the middle 95 % of resampled orders, drawn for both together. None: beyond the grid.
    """
    draw = np.random.default_rng(0)
    orders = len(next(iter(regret.values())))
    weights = draw.multinomial(orders, [1 / orders] * orders, size=RESAMPLES) / orders  # [S, O]
    drawn = {name: weights @ values for name, values in regret.items()}  # [S, B]
    budgets: dict[str, dict[str, float | None]] = {}
    intervals: dict[str, dict[str, list[float | None]]] = {}
    for rule, values in regret.items():
        goals = {f"{other}@{goal}x": (other, at(goal)) for other in regret for goal in GOALS}
        budgets[rule] = {
            key: _shown(_reached(values.mean(axis=0), regret[other][:, column].mean()))
            for key, (other, column) in goals.items()
        }
        intervals[rule] = {
            key: _middle(
                [
                    _reached(mean, goal)
                    for mean, goal in zip(drawn[rule], drawn[other][:, column], strict=True)
                ]
            )
            for key, (other, column) in goals.items()
        }
    return budgets, intervals


def _reached(mean: np.ndarray, goal: float) -> float:
    good = np.flatnonzero(mean <= goal + 1e-12)  # sums of the same values in another order
    return float(GRID[good[0]]) if len(good) else math.inf


def _middle(budgets: list[float]) -> list[float | None]:
    low, high = np.quantile(budgets, [0.025, 0.975], method="nearest")
    return [_shown(float(low)), _shown(float(high))]


def _shown(budget: float) -> float | None:
    return budget if math.isfinite(budget) else None


# Recall.


def top_runs(table: Table) -> list[Run]:
    """The best twentieth of all runs, and those that are as good."""
    last = table.finals[min(math.ceil(len(table.runs) / 20), len(table.finals)) - 1]
    return [run for run in table.runs if run.value <= last]


def recall(table: Table) -> dict[str, list[float | None]]:
    """Share of the top runs that pass each rung among all that arrive there, by family.

    Under `all`, of all families. None: no top run has the rung.
    """
    marks = _arrivals(table)
    passed: dict[str, dict[int, list[bool]]] = {}
    for run in top_runs(table):
        for rung, signal in _at_rungs(run).items():
            goes_on = _passes(marks[rung], signal)
            for family in ("all", run.family):
                passed.setdefault(family, {}).setdefault(rung, []).append(goes_on)
    count = len(PRUNING.rungs)
    return {
        family: [
            float(np.mean(by_rung[rung])) if rung in by_rung else None for rung in range(count)
        ]
        for family, by_rung in sorted(passed.items())
    }


def _arrivals(table: Table) -> dict[int, list[float]]:
    pairs = chain.from_iterable(_at_rungs(run).items() for run in table.runs)
    marks: dict[int, list[float]] = {}
    for rung, signal in pairs:
        marks.setdefault(rung, []).append(signal)
    return {rung: sorted(signals) for rung, signals in marks.items()}


def _at_rungs(run: Run) -> dict[int, float]:
    """What a run shows at the rungs that it reaches."""
    placed = at_progress(run.horizon).items()
    return {rung: run.signal[epoch - 1] for epoch, rung in placed if epoch < run.epochs}


def _passes(marks: list[float], signal: float) -> bool:
    return pruning.survives(
        better=bisect_left(marks, signal),
        others=len(marks) - 1,
        eta=PRUNING.eta,
        min_peers=PRUNING.min_peers,
    )


def counts(runs: Iterable[Run]) -> dict[str, Any]:
    """How many runs each family has, and all."""
    families = [run.family for run in runs]
    return {"all": len(families)} | {name: families.count(name) for name in sorted(set(families))}
