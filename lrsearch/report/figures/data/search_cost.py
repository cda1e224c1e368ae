"""What the search had spent whenever it found a better recipe: plain values, nothing drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import fsum

from lrsearch.report.model import Report
from lrsearch.report.rows import Trial
from lrsearch.spec.parts import Objective


@dataclass(frozen=True, kw_only=True)
class Step:
    """A complete trial that was better than all that had ended before it."""

    trial: int
    optimizer: str
    schedule: str
    value: float
    #: Epochs, or what else the study counts in, of all trials that had ended by then.
    trained: float
    #: Seconds since the first trial began.
    after: float


@dataclass(frozen=True, kw_only=True)
class SearchCost:
    """What the search has spent, and what it got for it."""

    #: In the order in which they ended.
    steps: tuple[Step, ...]
    #: Ended trials, and those of them that are complete.
    trials: int
    complete: int
    #: Of all ended trials, and until the last of them ended.
    trained: float
    seconds: float
    baseline: float | None


def search_cost(report: Report) -> SearchCost:
    """In the order in which trials ended; those that run are not counted."""
    ended = sorted(
        (trial for trial in report.trials if trial.ended_at is not None),
        key=lambda trial: (trial.ended_at or 0.0, trial.ticket),
    )
    start = min((trial.started_at for trial in report.trials), default=0.0)
    base = report.baseline
    return SearchCost(
        steps=tuple(_steps(ended, start, report.spec.objective)),
        trials=len(ended),
        complete=sum(trial.is_scored for trial in ended),
        trained=fsum(trial.epochs for trial in ended),
        seconds=(ended[-1].ended_at or start) - start if ended else 0.0,
        baseline=base.value if base is not None and base.is_scored else None,
    )


def _steps(ended: Sequence[Trial], start: float, objective: Objective) -> Iterator[Step]:
    trained, best = 0.0, None
    for trial in ended:
        trained += trial.epochs
        if not trial.is_scored or trial.value is None or trial.number is None or not trial.parsed:
            continue
        if best is not None and not objective.better(trial.value, best):
            continue
        best = trial.value
        yield Step(
            trial=trial.number,
            optimizer=trial.parsed.optimizer_name,
            schedule=trial.parsed.schedule_name,
            value=trial.value,
            trained=trained,
            after=(trial.ended_at or start) - start,
        )
