"""What a study has cost, and its budget: used of total."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum

from lrsearch.report.rows import OptimizerRangeTest, Trial
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage.records import ConfirmationRecord, StudyRecord


@dataclass(frozen=True, kw_only=True)
class Parts:
    """An amount for each part of a study: epochs, or seconds of training over all workers."""

    range_test: float
    #: Without what an audited trial trained beyond the rung that would have stopped it.
    search: float
    audit: float
    confirm: float

    @property
    def total(self) -> float:
        return fsum((self.range_test, self.search, self.audit, self.confirm))


@dataclass(frozen=True, kw_only=True)
class BudgetPart:
    """A budget of a study."""

    #: As the study file has it.
    name: str
    total: float
    used: float


def epochs_spent(
    trials: Sequence[Trial],
    tests: Iterable[OptimizerRangeTest],
    runs: Iterable[ConfirmationRecord],
) -> Parts:
    """Epochs trained so far."""
    audit = fsum(trial.audit_epochs for trial in trials)
    return Parts(
        range_test=fsum(test.epochs for test in tests),
        search=fsum(trial.epochs for trial in trials) - audit,
        audit=audit,
        confirm=fsum(run.epochs for run in runs),
    )


def seconds_spent(
    trials: Sequence[Trial],
    tests: Iterable[OptimizerRangeTest],
    runs: Iterable[ConfirmationRecord],
) -> Parts:
    """Seconds of training so far, summed over workers."""
    audit = fsum(trial.audit_seconds for trial in trials)
    return Parts(
        range_test=fsum(test.seconds for test in tests),
        search=fsum(trial.seconds for trial in trials) - audit,
        audit=audit,
        confirm=fsum(run.seconds for run in runs),
    )


def budget_of(study: StudyRecord, spec: StudySpec, elapsed: float) -> tuple[BudgetPart, ...]:
    """The budgets that the study has; `elapsed` are seconds since its first trial began.

    A budget in runs counts the epochs of so many full trials.
    """
    horizon = spec.horizon_epochs(study.steps_per_epoch)
    same = spec.budget.runs is not None and not spec.knows_length  # which counts whole runs anyway
    parts: tuple[tuple[str, float | None, float], ...] = (
        ("trials", study.trials_total, study.trials_counted),
        ("runs", spec.budget.runs, study.epochs_used / horizon),
        ("epochs", None if same else study.epochs_total, study.epochs_used),
        ("time", study.seconds_total, elapsed),
    )
    return tuple(
        BudgetPart(name=name, total=total, used=used)
        for name, total, used in parts
        if total is not None
    )
