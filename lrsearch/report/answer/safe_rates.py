"""How far the learning rate of the recommended recipe may move, and where training diverges."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lrsearch.advice import lr_edges
from lrsearch.confirmation.basins import trials_beside
from lrsearch.confirmation.lr_tolerance import Span, span
from lrsearch.report.model import Report
from lrsearch.trial.states import TrialState

if TYPE_CHECKING:
    from lrsearch.advice.lr_basin import Interval, Safe

#: From fewer trials no fitted range is told: these are the fewest that benchmarks/lr_basin.py was
#: run with. On a flat bottom a fitted range is too narrow with any number of trials; the range that
#: the noise of seeds allows is several times as wide as the picture of the basin shows.
LEAST_FITTED = 15


@dataclass(frozen=True, kw_only=True)
class SafeRates:
    """Learning rates of the recommended recipe's optimizer, in torch's units for its momentum."""

    optimizer: str
    #: Lowest and highest around the recipe's own that do as well, as far as the noise of seeds can
    #: tell; None without fresh seeds, and for too few trials.
    noise: Span | None
    #: Whose value a fitted basin puts within 1 % and 5 % of the best, as far as trials reach; None
    #: for fewer than LEAST_FITTED trials.
    percent_1: Span | None
    percent_5: Span | None
    #: How many times the lowest rate of `percent_5` the highest is, with its 95 % interval; None
    #: where an end of the range was not seen, or lies where training diverges.
    factor: "Interval | None"
    #: From here on training diverges; None where nothing says so.
    edge: float | None
    #: Trials that diverged from there on; 0 where a range test alone says so.
    diverged: int


def safe_rates(report: Report) -> SafeRates | None:
    """None where nothing is known, and while there is no recipe."""
    recipe = report.recommended
    if recipe is None:
        return None
    name = recipe.optimizer_name
    others = [
        (trial.parsed, trial.state == TrialState.DIVERGED)
        for trial in report.trials
        if trial.has_ended and trial.state != TrialState.FAILED and trial.parsed is not None
    ]
    tested = next((test.parsed for test in report.range_tests if test.optimizer == name), None)
    unstable = lr_edges.where_unstable(recipe, report.spec.space, others, tested)
    edge = None if unstable is None else unstable.edge
    noise = _below(edge, recipe.lr, _within_noise(report, recipe.lr))
    small, large = _near_best(report, name)
    if noise is None and unstable is None and small is None:
        return None
    return SafeRates(
        optimizer=name,
        noise=noise,
        percent_1=None if small is None else _below(edge, small.low, _span(small)),
        percent_5=None if large is None else _below(edge, large.low, _span(large)),
        factor=None if large is None else _factor(large, edge),
        edge=edge,
        diverged=0 if unstable is None else unstable.diverged,
    )


def _near_best(report: Report, optimizer: str) -> "tuple[Safe | None, Safe | None]":
    """Within 1 % and 5 % of the best; numpy is loaded where enough trials tell."""
    names = [trial.parsed.optimizer_name for trial in report.trials if trial.parsed is not None]
    if names.count(optimizer) < LEAST_FITTED:
        return None, None
    from lrsearch.report.figures.data.basins import rates_near_best

    near = rates_near_best(report, LEAST_FITTED)
    return (None, None) if near is None else (near.small, near.large)


def _span(safe: "Safe") -> Span:
    ends = {"open_low": safe.open_low, "open_high": safe.open_high}
    return Span(low=safe.low, high=safe.high, **ends)


def _factor(safe: "Safe", edge: float | None) -> "Interval | None":
    is_cut = edge is not None and edge < safe.high
    if safe.open_low or safe.open_high or is_cut:
        return None
    width = safe.decades
    return replace(width, value=10**width.value, low=10**width.low, high=10**width.high)


def _below(edge: float | None, least: float, rates: Span | None) -> Span | None:
    """The part below where training diverges, and `least` at least: an end that was seen."""
    if rates is None or edge is None:
        return rates
    return replace(rates, high=max(min(rates.high, edge), least), open_high=False)


def _within_noise(report: Report, lr: float) -> Span | None:
    if report.winner is None:
        return None
    trials = {trial.number: trial for trial in report.trials if trial.number is not None}
    found = trials_beside(report.winner.trial, report.runs, trials, report.spec)
    return None if found is None else span(lr, *found)
