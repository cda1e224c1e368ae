"""What one full training of the recommended recipe costs, as it was measured in the study."""

from dataclasses import dataclass

from lrsearch.report.answer.gain import recommended_trial
from lrsearch.report.model import Report


@dataclass(frozen=True, kw_only=True)
class RunCost:
    """Means of the runs with fresh seeds, else of the trial."""

    #: None where a command does not say how long a training is.
    epochs: float | None
    #: Of training and validation on one device.
    seconds: float
    #: Whether others trained in the same program: the seconds are then this one's share.
    shared: bool


def run_cost(report: Report) -> RunCost | None:
    """None while there is no recipe."""
    number = recommended_trial(report)
    entry = report.winner if number is None or report.winner is not None else report.trial(number)
    if entry is None:
        return None
    return RunCost(
        epochs=entry.epochs if report.spec.knows_length else None,
        seconds=entry.seconds,
        shared=any(engine.size > 1 for engine in report.engines),
    )
