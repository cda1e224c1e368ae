"""What the budget's shares were planned to train, and what they trained: plain values."""

from dataclasses import dataclass
from math import fsum

from lrsearch.advice.shares import shares
from lrsearch.report.model import Report

RANGE_TEST, KNOWN, EXPLORATION, CONFIRMATION = (
    "range test",
    "known recipes",
    "exploration",
    "confirmation",
)


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of the budget, in epochs."""

    #: RANGE_TEST, KNOWN (the user's own recipes, earlier studies' and the portfolio's), EXPLORATION
    #: (the sampler's, with what audits trained on) or CONFIRMATION.
    name: str
    #: About; None where time alone ends the search.
    planned: float | None
    spent: float


def budget_shares(report: Report) -> tuple[Share, ...]:
    """In the order in which they are spent; without those that are neither planned nor spent."""
    planned = shares(report.plan).epochs
    drawn = [trial.kind == "sampled" for trial in report.trials]
    epochs = [trial.epochs for trial in report.trials]
    exploration = fsum(e for e, is_drawn in zip(epochs, drawn, strict=True) if is_drawn)
    every = (
        Share(name=RANGE_TEST, planned=planned.range_test, spent=report.epochs.range_test),
        Share(name=KNOWN, planned=planned.known, spent=fsum(epochs) - exploration),
        Share(name=EXPLORATION, planned=planned.exploration, spent=exploration),
        Share(name=CONFIRMATION, planned=planned.confirm, spent=report.epochs.confirm),
    )
    return tuple(share for share in every if share.planned or share.spent)
