"""Recorded runs as losses a task and an entry, and what a list of recipes costs after k of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from grid import candidates, meant, neighbour, siblings
from runs import Run

#: Regret of a run that diverged, and the most that any has: twice a median draw's.
WORST = 2.0


@dataclass(frozen=True, kw_only=True)
class TaskTable:
    """What each entry gives on one task."""

    task: str
    #: Entry or candidate to the loss of the search's own seed; infinite where it diverged.
    seen: Mapping[str, float]
    #: Entry to its regret: 0 is the task's best entry, 1 the median draw of the default space, on
    #: a log scale of the loss; by the mean of the seeds that the search did not see where there
    #: are any.
    regret: Mapping[str, float]
    #: Logarithm of the median draw's loss over the best one's: what a regret of 1 stands for.
    scale: float

    def after(self, names: Sequence[str]) -> float:
        """The regret of the one of these that the search's own seed prefers."""
        there = [name for name in names if name in self.seen]
        return self.regret[min(there, key=self.seen.__getitem__)] if there else WORST


def tables(runs: Sequence[Run]) -> list[TaskTable]:
    """One for each task, in the order of their names."""
    names = sorted({run.task for run in runs})
    return [_table(name, [run for run in runs if run.task == name]) for name in names]


def _table(task: str, runs: Sequence[Run]) -> TaskTable:
    seen = {run.entry: _loss(run) for run in runs if run.seed == 0}
    others: dict[str, list[float]] = {}
    for run in runs:
        if run.seed > 0:
            others.setdefault(run.entry, []).append(_loss(run))
    judged = {name: fmean(others.get(name, [loss])) for name, loss in seen.items()}
    draws = {run.entry for run in runs if run.kind == "draw"}
    # The best of those that were trained again: a single seed's best is luck.
    best = min(judged[name] for name in others)
    typical = median(loss for name, loss in judged.items() if name in draws)
    assert best < typical < math.inf, (task, best, typical)
    scale = math.log(typical / best)
    regret = {name: min(max(math.log(v / best) / scale, 0.0), WORST) for name, v in judged.items()}
    size = runs[0].batch_size
    for name in candidates():
        recorded = meant(name, size)
        seen[name] = seen.get(recorded, math.inf)
        regret[name] = regret.get(recorded, WORST)
    return TaskTable(task=task, seen=seen, regret=regret, scale=scale)


def _loss(run: Run) -> float:
    return math.inf if run.best is None else run.best


def smoothed(table: TaskTable, names: Sequence[str]) -> TaskTable:
    """The task with each regret half its own, half the mean of the same rate's other schedules.

    What a few seeds say of one schedule at one rate is largely chance, what they say of the rate is
    not. A list then is chosen from by these regrets too.
    """
    regret = {}
    for name in names:
        others = [table.regret[other] for other in siblings(name)] or [table.regret[name]]
        regret[name] = (table.regret[name] + fmean(others)) / 2
    return replace(table, seen=regret, regret=regret)


def shifted(table: TaskTable, names: Sequence[str], by: int) -> TaskTable:
    """The task as one on which all rates act as those `by` half decades above do on this one."""
    moved = {name: neighbour(name, by) for name in names}
    return replace(
        table,
        seen={n: math.inf if m is None else table.seen[m] for n, m in moved.items()},
        regret={n: WORST if m is None else table.regret[m] for n, m in moved.items()},
    )


def greedy(tables: Sequence[TaskTable], candidates: Sequence[str], length: int) -> list[str]:
    """The order in which each next recipe lowers the mean regret most; the earlier one of equals.

    Where none lowers it, the one with the lowest mean regret by itself comes next.
    """
    chosen: list[str] = []
    #: On each task what is held by now: its loss as it is seen, and its regret.
    held = [(math.inf, WORST)] * len(tables)

    def after(name: str, table: TaskTable, best: tuple[float, float]) -> tuple[float, float]:
        return min(best, (table.seen[name], table.regret[name]), key=lambda each: each[0])

    def cost(name: str) -> float:
        return fmean(after(name, *each)[1] for each in zip(tables, held, strict=True))

    alone = {name: cost(name) for name in candidates}
    while len(chosen) < min(length, len(candidates)):
        left = [name for name in candidates if name not in chosen]
        name = min(left, key=lambda name: (cost(name), alone[name]))
        held = [after(name, *each) for each in zip(tables, held, strict=True)]
        chosen.append(name)
    return chosen
