"""What is known of one trial."""

from collections.abc import Sequence
from dataclasses import dataclass

from lrsearch.errors import StudyError
from lrsearch.plain_data import Document
from lrsearch.report.groups import rates_document
from lrsearch.report.load import StudyHandle, report_of
from lrsearch.report.model import Report
from lrsearch.report.rows import Trial
from lrsearch.report.text.trial_end import trial_ends
from lrsearch.storage import checkpoints, curves, leases, trials
from lrsearch.storage.leases import Kind
from lrsearch.storage.records import CheckpointRecord, CurveRecord


@dataclass(frozen=True, kw_only=True)
class TrialDetails:
    """A trial with its curve, its worker's lease and its checkpoints."""

    trial: Trial
    #: Validations of the highest attempt.
    curve: Sequence[CurveRecord]
    #: Seconds until the lease ends; None unless a worker trains it.
    lease_left: float | None
    #: The newest first.
    checkpoints: Sequence[CheckpointRecord]
    #: Why it ended, or what it waits for: a sentence or two.
    why: str

    @property
    def last(self) -> CurveRecord | None:
        """The last validation."""
        return self.curve[-1] if self.curve else None

    @property
    def epochs(self) -> float:
        """Trained so far."""
        if not self.trial.has_ended and self.last is not None:
            return self.last.epoch
        return self.trial.epochs


def no_trial(report: Report, number: int) -> StudyError:
    """The error of a number that no trial has. Trials count from 0."""
    known = [trial.number for trial in report.trials if trial.number is not None]
    first, last = min(known, default=0), max(known, default=0)
    there = f"its trials are {first} to {last}" if known else "it has none yet"
    return StudyError(f"study {report.name!r} has no trial {number}; {there}")


def no_such_trial(study: StudyHandle, number: int) -> StudyError:
    return StudyError(
        f"study {study.name!r} has no trial {number}; `lrsearch study trials {study.name}` lists "
        f"them"
    )


def details(study: StudyHandle, number: int) -> TrialDetails:
    """Everything about a trial. Raises StudyError if there is none of this number."""
    ends = trial_ends(report_of(study))
    with study.database.read() as connection:
        record = trials.by_number(connection, study.study_id, number)
        if record is None:
            raise no_such_trial(study, number)
        trial = Trial.of(record)
        lease = leases.of_item(connection, Kind.TRIAL, trial.id)
        held = not trial.has_ended and trial.worker is not None
        return TrialDetails(
            trial=trial,
            curve=curves.of_trial(connection, trial.id),
            lease_left=lease.left if held and lease is not None else None,
            checkpoints=checkpoints.newest_first(connection, Kind.TRIAL, trial.id),
            why=ends.get(trial.id, "Has just begun."),
        )


def details_document(found: TrialDetails) -> Document:
    """As `trial show --json` prints it."""
    trial, last = found.trial, found.last
    return {
        "trial": trial.number,
        "ticket": trial.ticket,
        "kind": trial.kind,
        "state": trial.state,
        "value": trial.value,
        "best_validation": trial.best_validation,
        "metrics": trial.metrics,
        "reason": trial.reason,
        "why": found.why,
        "seconds": trial.seconds,
        "recipe": trial.recipe,
        **rates_document(trial.recipe),
        "epochs": found.epochs,
        "validations": len(found.curve),
        "val_loss": None if last is None else last.val_loss,
        "attempts": trial.attempt,
        "deaths": trial.deaths,
        "worker": trial.worker,
        "lease_left": found.lease_left,
        "checkpoints": [{"step": item.step, "bytes": item.bytes} for item in found.checkpoints],
    }
