"""What so few complete recipes are expected to give, and what more would, from recorded tasks."""

from dataclasses import dataclass

from lrsearch.advice.shares import Shares
from lrsearch.catalog.script import SCRIPT
from lrsearch.space.portfolio import gaps
from lrsearch.space.portfolio.gaps import Gap
from lrsearch.spec.study_spec import StudySpec

#: Numbers of recipes that an outlook names, as far as they are more than there are.
LATER = (1, 3, 5, 10)


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """How far from the best known recipe's loss so many recipes ended on recorded tasks."""

    #: What they were: `portfolio`, its first recipes, or `draws` of the default space.
    of: str
    #: How many tasks.
    tasks: int
    #: By how much the loss of the worse of two recipes of the portfolio was higher; 0.1 is 10 %.
    apart: float
    #: After so many recipes as there are, if any, and after more.
    gaps: tuple[Gap, ...]


def outlook(spec: StudySpec, recipes: int) -> Outlook | None:
    """The outlook after so many complete recipes of the portfolio, or of the sampler's.

    None where no recorded runs tell: of a portfolio or an optimizer of the user's own.
    """
    if isinstance(spec.portfolio, tuple) or set(spec.space.optimizers) == {SCRIPT}:
        return None
    of, recorded = ("portfolio", gaps.PORTFOLIO) if spec.portfolio else ("draws", gaps.DRAWS)
    counts = [*([recipes] if recipes else []), *(count for count in LATER if count > recipes)]
    found = tuple(gaps.after(recorded, count) for count in counts)
    return Outlook(of=of, tasks=gaps.TASKS, apart=gaps.APART, gaps=found) if found else None


def planned_outlook(spec: StudySpec, found: Shares) -> Outlook | None:
    """The outlook of a plan in which each recipe is trained to its end, and which is of few."""
    if found.reached or found.sampled is None:
        return None
    recipes = found.portfolio + found.sampled
    return outlook(spec, recipes) if recipes < LATER[-1] else None
