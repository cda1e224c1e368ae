"""How far the learning rate of the recommended recipe may move, and where training diverges."""

from dataclasses import dataclass

from lrsearch.advice import lr_edges
from lrsearch.confirmation.basins import trials_beside
from lrsearch.confirmation.lr_tolerance import span
from lrsearch.report.model import Report
from lrsearch.trial.states import TrialState

Rates = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class SafeRates:
    """Learning rates of the recommended recipe's optimizer, in torch's units for its momentum."""

    optimizer: str
    #: Lowest and highest around the recipe's own that do as well, as far as the noise of seeds can
    #: tell; None without fresh seeds, and for too few trials.
    noise: Rates | None
    #: Whose value a fitted basin puts within 1 % and 5 % of the best; None without a fit.
    percent_1: Rates | None = None
    percent_5: Rates | None = None
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
    noise = _within_noise(report, recipe.lr)
    if noise is None and unstable is None:
        return None
    edge = None if unstable is None else unstable.edge
    if noise is not None and edge is not None:
        noise = (noise[0], max(min(noise[1], edge), recipe.lr))
    diverged = 0 if unstable is None else unstable.diverged
    return SafeRates(optimizer=name, noise=noise, edge=edge, diverged=diverged)


def _within_noise(report: Report, lr: float) -> Rates | None:
    if report.winner is None:
        return None
    trials = {trial.number: trial for trial in report.trials if trial.number is not None}
    found = trials_beside(report.winner.trial, report.runs, trials, report.spec)
    return None if found is None else span(lr, *found)
