"""Something that has happened in a study that is watched, as a value."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum

from lrsearch.plain_data import Document, Fields
from lrsearch.storage.worker_identity import place


class Kind(StrEnum):
    """What has happened. The words are a public interface."""

    WATCHED = "watched"  #: the first look: how the study stands
    TRIAL_STARTED = "trial_started"
    TRIAL_TAKEN_OVER = "trial_taken_over"  #: another worker goes on with it
    TRIAL_WAITS = "trial_waits"  #: it stands at a rung until it is known whether it goes on
    TRIAL_GOES_ON = "trial_goes_on"  #: one that waited is trained again
    RUNG_REACHED = "rung_reached"
    TRIAL_COMPLETE = "trial_complete"
    TRIAL_PRUNED = "trial_pruned"
    TRIAL_DIVERGED = "trial_diverged"
    TRIAL_FAILED = "trial_failed"
    RANGE_TEST_STARTED = "range_test_started"
    RANGE_TEST_ENDED = "range_test_ended"
    CONFIRMATION_PLANNED = "confirmation_planned"  #: a round of runs with fresh seeds
    CONFIRMATION_RUN_ENDED = "confirmation_run_ended"
    WORKER_JOINED = "worker_joined"
    WORKER_LEFT = "worker_left"  #: in order
    WORKER_LOST = "worker_lost"  #: not seen for two leases
    WORKER_BACK = "worker_back"  #: one that was lost was seen again
    FAULT = "fault"  #: a line about a fault and what was done
    STUDY_PAUSED = "study_paused"
    STUDY_RESUMED = "study_resumed"
    STUDY_EXTENDED = "study_extended"  #: another space or budget; its trials were kept
    STUDY_FINISHED = "study_finished"
    STUDY_DELETED = "study_deleted"


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that has happened; what it is not about is None."""

    #: Seconds since 1970 by the database's clock.
    at: float
    study: str
    kind: Kind
    #: One line for people, without time and study.
    words: str
    trial: int | None = None
    #: How its training ended, of a trial, range test or confirmation run.
    state: str | None = None
    value: float | None = None
    #: Whether a trial is the best so far.
    best: bool | None = None
    #: Counted from 1.
    rung: int | None = None
    epochs: float | None = None
    recipe: Fields | None = None
    reason: str | None = None
    #: Of a confirmation run.
    round: str | None = None
    seed: int | None = None
    #: Runs of a round that was planned.
    runs: int | None = None
    #: Host, process id, start time.
    worker: str | None = None
    #: Of a range test.
    optimizer: str | None = None

    @property
    def clock(self) -> str:
        """`14:03:27`, in the time zone of this machine."""
        return datetime.fromtimestamp(self.at).strftime("%H:%M:%S")

    @property
    def line(self) -> str:
        """Time and words."""
        return f"{self.clock} {self.words}"

    def to_dict(self) -> Document:
        """For JSON: the time as ISO 8601 in UTC, and only the fields that it has."""
        at = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds")
        found = {name: value for name, value in asdict(self).items() if value is not None}
        return {**found, "at": at}


def worker_words(worker: str) -> str:
    """`gpu1 pid 4711`"""
    host, pid = place(worker)
    return host if pid is None else f"{host} pid {pid}"
