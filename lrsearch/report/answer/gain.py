"""What the recipe of a search gains over the user's baseline, else over the portfolio's first.

The difference is of values on the same seeds: fresh ones where both recipes were confirmed, else
the one seed of the search.
"""

from dataclasses import dataclass
from typing import Literal

from lrsearch.confirmation.confirmed import Confirmed
from lrsearch.confirmation.statistics import Difference, difference
from lrsearch.report.model import Report
from lrsearch.report.rows import Trial

#: A mean below this share of its interval is a rounding error of 0.
ROUNDING = 1e-12
#: Kinds of trials whose recipes are of the portfolio, the second in older studies.
PORTFOLIO = ("portfolio", "textbook")


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How much better a recipe is than the reference, in the unit of the objective."""

    #: Mean of the differences by seed; above 0 where the recipe is better.
    value: float
    #: 95 % t-interval of that mean; None for one seed.
    ci95: tuple[float, float] | None
    #: Seeds that both recipes have a value on.
    n: int
    #: `fresh`: of the confirmation; `search`: the one that the search trained all trials with.
    seeds: Literal["fresh", "search"]
    against: Literal["baseline", "portfolio"]
    #: The trial of the reference.
    trial: int
    #: The trial of the recipe that is compared with it.
    of: int

    @property
    def losses(self) -> Difference:
        """The same as a difference of losses: below 0 where the recipe is better."""
        return -Difference(n=self.n, mean=self.value, ci95=self.ci95, p=None)


def reference(report: Report) -> Trial | None:
    """The user's own recipe, else what one would train without a search; None if neither has begun.

    That is the portfolio's first recipe that has a value: its other ones are part of the search.
    """
    if report.baseline is not None or report.spec.baseline is not None:
        return report.baseline
    first = [trial for trial in report.ranked if trial.kind in PORTFOLIO]
    return min(first, key=lambda trial: trial.number or 0, default=None)


def recommended_trial(report: Report) -> int | None:
    """The number of the trial that has the recommended recipe."""
    if report.winner is not None:
        return report.winner.trial
    return None if report.best is None else report.best.number


def gain_of(report: Report) -> Gain | None:
    """The gain of the recommended recipe; where that is the reference itself, of the next best.

    None where there is no reference, or the two have no value on a common seed.
    """
    against, mine = reference(report), recommended_trial(report)
    if against is None or against.number is None or mine is None:
        return None
    if mine == against.number:
        mine = _next_best(report, against)
    if mine is None:
        return None
    fresh = {entry.trial: entry for entry in report.confirmed}
    if mine in fresh and against.number in fresh:
        return _on_fresh_seeds(report, fresh[mine], fresh[against.number], against)
    return _on_the_search_seed(report, report.trial(mine), against)


def _next_best(report: Report, against: Trial) -> int | None:
    """The best other recipe: of the confirmed, else of the search."""
    confirmed = [entry.trial for entry in report.confirmed]
    numbers = [*confirmed, *(trial.number for trial in report.ranked)]
    return next((number for number in numbers if number not in (None, against.number)), None)


def _on_fresh_seeds(
    report: Report, mine: Confirmed, theirs: Confirmed, against: Trial
) -> Gain | None:
    found = mine.less(theirs)
    return None if found is None else _gain(report, found, "fresh", against, mine.trial)


def _on_the_search_seed(report: Report, mine: Trial | None, against: Trial) -> Gain | None:
    if mine is None or mine.number is None or not (mine.is_scored and against.is_scored):
        return None
    found = difference({0: mine.value}, {0: against.value})
    return None if found is None else _gain(report, found, "search", against, mine.number)


def _gain(
    report: Report,
    found: Difference,
    seeds: Literal["fresh", "search"],
    against: Trial,
    mine: int,
) -> Gain:
    better = found if report.spec.objective.direction == "maximize" else -found
    ci95 = better.ci95
    dust = 0.0 if ci95 is None else ROUNDING * (ci95[1] - ci95[0])
    return Gain(
        value=better.mean if abs(better.mean) > dust else 0.0,
        ci95=ci95,
        n=better.n,
        seeds=seeds,
        against="baseline" if against.kind == "baseline" else "portfolio",
        trial=against.number or 0,
        of=mine,
    )
