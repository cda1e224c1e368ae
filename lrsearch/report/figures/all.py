"""The figures of a report in the order in which it is read."""

from collections.abc import Callable, Iterator

from altair.utils.schemapi import debug_mode

from lrsearch.report.figures import (
    budget_shares,
    confirmation,
    curves,
    history,
    history_by_cost,
    importance,
    lr_basin,
    lr_basin_by_schedule,
    optimizers_by_schedules,
    parallel_coordinates,
    pareto,
    range_test,
    rungs,
    schedules,
    shape,
    time_spent,
    timeline,
    transfer,
)
from lrsearch.report.figures.figure import Figure
from lrsearch.report.model import Report

#: Each makes its figure, or None where there is nothing to draw.
FIGURES: tuple[Callable[[Report], Figure | None], ...] = (
    transfer.figure,
    lr_basin.figure,
    confirmation.figure,
    optimizers_by_schedules.figure,
    lr_basin_by_schedule.figure,
    shape.figure,
    curves.figure,
    schedules.figure,
    history.figure,
    history_by_cost.figure,
    rungs.figure,
    importance.figure,
    parallel_coordinates.figure,
    pareto.figure,
    budget_shares.figure,
    time_spent.figure,
    timeline.figure,
    range_test.figure,
)


def figures(report: Report) -> Iterator[Figure]:
    """Those that there is something to draw for.

    Altair does not check each of their parts as it is made; the tests check them whole.
    """
    for make in FIGURES:
        with debug_mode(False):
            found = make(report)
        if found is not None:
            yield found
