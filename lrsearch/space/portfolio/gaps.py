"""How far from the best known loss of a task a study is after so many complete recipes.

What benchmarks/portfolio/gaps.py finds in runs that were recorded on seventeen small tasks, each
with the order of recipes that the other tasks give; benchmarks/README.md has the figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Gap:
    """How much higher the loss is than that of a task's best recorded recipe; 0.1 is 10 %."""

    #: Recipes that were trained to their end.
    recipes: int
    #: Over the tasks.
    median: float
    #: That of a quarter of the tasks is larger.
    upper: float


#: Recorded tasks.
TASKS = 17
#: By how much the loss of the worse of two recipes of the portfolio is higher, in the median.
APART = 0.206
#: The portfolio's first recipes.
PORTFOLIO = (
    Gap(recipes=1, median=0.196, upper=0.429),
    Gap(recipes=2, median=0.093, upper=0.305),
    Gap(recipes=3, median=0.088, upper=0.295),
    Gap(recipes=4, median=0.040, upper=0.167),
    Gap(recipes=5, median=0.024, upper=0.167),
    Gap(recipes=6, median=0.024, upper=0.167),
    Gap(recipes=7, median=0.024, upper=0.167),
    Gap(recipes=8, median=0.024, upper=0.167),
    Gap(recipes=9, median=0.023, upper=0.167),
    Gap(recipes=10, median=0.023, upper=0.167),
    Gap(recipes=11, median=0.023, upper=0.167),
    Gap(recipes=12, median=0.023, upper=0.171),
)
#: Draws of the default space.
DRAWS = (
    Gap(recipes=1, median=0.569, upper=2.003),
    Gap(recipes=2, median=0.358, upper=1.028),
    Gap(recipes=3, median=0.267, upper=0.641),
    Gap(recipes=4, median=0.220, upper=0.550),
    Gap(recipes=5, median=0.177, upper=0.454),
    Gap(recipes=6, median=0.151, upper=0.414),
    Gap(recipes=7, median=0.129, upper=0.387),
    Gap(recipes=8, median=0.110, upper=0.368),
    Gap(recipes=9, median=0.097, upper=0.354),
    Gap(recipes=10, median=0.083, upper=0.339),
    Gap(recipes=11, median=0.073, upper=0.328),
    Gap(recipes=12, median=0.064, upper=0.316),
)


def after(gaps: Sequence[Gap], recipes: int) -> Gap:
    """The gap after so many recipes; of more than were recorded that of all of them.

    Raises ValueError for less than one.
    """
    if recipes < 1:
        raise ValueError(f"recipes = {recipes}, but at least 1 is needed")
    return gaps[min(recipes, len(gaps)) - 1]
