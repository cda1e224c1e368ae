"""How far a study is, as a value that bars draw."""

from dataclasses import dataclass

from sqlalchemy import Connection

from lrsearch.storage import confirmations, range_tests, studies, trials
from lrsearch.storage.records import StudyRecord
from lrsearch.study.open_study import OpenStudy
from lrsearch.trial import states
from lrsearch.trial.states import TrialState


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """How far the confirmation of a study is, in runs."""

    done: int
    planned: int
    #: What its runs are for: to choose, to report, to test.
    round: str


@dataclass(frozen=True, kw_only=True)
class StudyProgress:
    """How far a study is, in the unit of its budget."""

    #: `trials`, `epochs` or `seconds`.
    unit: str
    used: float
    total: float
    #: What runs, how trials ended, and the best value so far.
    note: str
    #: None before the first run that confirms.
    confirmed: Confirmed | None

    @property
    def title(self) -> str:
        """`search`, and the unit where that is not trials."""
        return "search" if self.unit == "trials" else f"search ({self.unit})"


def study_progress(connection: Connection, study: OpenStudy) -> StudyProgress | None:
    """How far the study is; None when it was deleted."""
    record = studies.by_id(connection, study.study_id)
    if record is None:
        return None
    counts = studies.counts(connection, study.study_id)
    unit, used, total = _used(connection, record, counts)
    return StudyProgress(
        unit=unit,
        used=used,
        total=total,
        note=", ".join(_notes(connection, study, counts)),
        confirmed=_confirmed(connection, study),
    )


def _used(
    connection: Connection, record: StudyRecord, counts: dict[str, int]
) -> tuple[str, float, float]:
    """A budget's unit, what is used of it and its total: the one of which the most is used."""
    budgets: list[tuple[str, float, float]] = []
    if record.trials_total is not None:
        ended = sum(counts.values()) - counts[TrialState.RUNNING]
        budgets.append(("trials", ended, record.trials_total))
    if record.epochs_total is not None:
        budgets.append(("epochs", record.epochs_used, record.epochs_total))
    if record.seconds_total is not None:
        elapsed = studies.elapsed(connection, record.study_id)
        budgets.append(("seconds", elapsed, record.seconds_total))
    unit, used, total = max(budgets, key=lambda budget: budget[1] / budget[2])
    return unit, min(used, total), total


def _notes(connection: Connection, study: OpenStudy, counts: dict[str, int]) -> list[str]:
    minimize = study.spec.objective.direction == "minimize"
    best = trials.ranked(connection, study.study_id, minimize=minimize, limit=1)
    notes = [
        f"range test of {test.optimizer}"
        for test in range_tests.everything(connection, study.study_id)
        if test.state == TrialState.RUNNING
    ]
    notes += [
        f"{counts[state]} {state}"
        for state in (TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED)
        if counts[state]
    ]
    if best:
        notes.append(f"best {study.spec.objective.metric} {best[0].value:.4g}")
    return notes


def _confirmed(connection: Connection, study: OpenStudy) -> Confirmed | None:
    runs = confirmations.everything(connection, study.study_id)
    if not runs:
        return None
    done = sum(run.state not in states.OPEN for run in runs)
    return Confirmed(done=done, planned=len(runs), round=runs[-1].round)
