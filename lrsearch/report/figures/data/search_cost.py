"""What the search had spent at the end of each complete trial: plain values, nothing drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum

from lrsearch.report.model import Report
from lrsearch.report.rows import Trial
from lrsearch.spec.parts import Objective


@dataclass(frozen=True, kw_only=True)
class End:
    """A complete trial at its end."""

    trial: int
    optimizer: str
    schedule: str
    value: float
    #: Of this trial and of those that ended before it.
    best: float
    #: Epochs, or what else the study counts in, of all trials that had ended by then.
    trained: float
    #: Seconds since the first trial began.
    after: float


@dataclass(frozen=True, kw_only=True)
class SearchCost:
    """What the search has spent, and what it had for it at each end of a complete trial."""

    ends: tuple[End, ...]
    #: Ended trials, whatever became of them.
    trials: int
    trained: float
    seconds: float
    baseline: float | None

    @property
    def steps(self) -> tuple[End, ...]:
        """Those that were better than all before."""
        found = [self.ends[0]] if self.ends else []
        for before, end in pairwise(self.ends):
            if end.best != before.best:
                found.append(end)
        return tuple(found)


def search_cost(report: Report) -> SearchCost:
    """In the order in which trials ended."""
    ended = sorted(
        (trial for trial in report.trials if trial.ended_at is not None),
        key=lambda trial: (trial.ended_at or 0.0, trial.ticket),
    )
    start = min((trial.started_at for trial in report.trials), default=0.0)
    base = report.baseline
    return SearchCost(
        ends=tuple(_ends(ended, start, report.spec.objective)),
        trials=len(ended),
        trained=fsum(trial.epochs for trial in ended),
        seconds=(ended[-1].ended_at or start) - start if ended else 0.0,
        baseline=base.value if base is not None and base.is_scored else None,
    )


def _ends(ended: Sequence[Trial], start: float, objective: Objective) -> Iterator[End]:
    trained, best = 0.0, None
    for trial in ended:
        trained += trial.epochs
        if not trial.is_scored or trial.value is None or trial.number is None or not trial.parsed:
            continue
        best = trial.value if best is None or objective.better(trial.value, best) else best
        yield End(
            trial=trial.number,
            optimizer=trial.parsed.optimizer_name,
            schedule=trial.parsed.schedule_name,
            value=trial.value,
            best=best,
            trained=trained,
            after=(trial.ended_at or start) - start,
        )
