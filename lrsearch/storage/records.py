"""Rows of our tables as values: what `storage` returns, column by column (see `tables`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, Executable

from lrsearch.plain_data import Fields
from lrsearch.storage.team_fields import OfTeam
from lrsearch.trial.curve import Scores, Validation

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class StudyRecord(OfTeam):
    """A study: its definition, its budget, and how much of that is used."""

    study_id: int
    name: str
    definition: Fields  # `StudySpec.to_dict()`
    spec_hash: str
    #: Task file to SHA-256.
    code: Mapping[str, str]
    #: Of lrsearch, torch and Optuna when it was created.
    versions: Mapping[str, str]
    #: A `StudyState`.
    state: str
    steps_per_epoch: int
    trials_total: int | None
    trials_used: int
    epochs_total: float | None
    #: By ended trials, range tests and confirmation runs.
    epochs_used: float
    #: By running ones, at their full horizon.
    epochs_reserved: float
    seconds_total: float | None
    #: Seconds since 1970 by the database's clock, as all times here.
    first_ask_at: float | None
    created_at: float
    origin: Fields | None  # what it took over when it was created
    trials_ended: int
    #: Of those used, that failed for their machine and do not count.
    trials_returned: int
    #: Since when every recipe of the space has its trial; None while there are others.
    exhausted_at: float | None
    resume: str | None  # how a script's trials go on after an interruption; None of a task
    moves: int = 0  # how often trials have begun to wait or gone on
    token: str | None = None  # random: a worker knows the study again by it, not by its number

    @property
    def trials_counted(self) -> int:
        """Started search trials, as the budget counts them."""
        return self.trials_used - self.trials_returned


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """A started search trial."""

    id: int
    study_id: int
    #: 1-based, without gaps.
    ticket: int
    trial_id: int | None  # Optuna's id and number; None until Optuna has it
    number: int | None
    #: `sampled`, a kind of the queue, or `machine`: it failed for its machine, and does not count.
    kind: str
    recipe: Fields | None
    #: A `TrialState`.
    state: str
    #: None while running: free to be taken over. Of one that waits: that trained it last.
    worker: str | None
    attempt: int
    value: float | None
    best_validation: int | None
    metrics: Scores | None
    reason: str | None
    epochs: float
    seconds: float
    started_at: float
    ended_at: float | None
    #: Its place in the order of ends.
    ended: int | None
    #: The rung that would have stopped it, and the epochs that it had trained there.
    audited_at: int | None
    audit_from: float | None
    #: Workers that died in it without a new checkpoint.
    deaths: int
    fingerprint: str | None = None  # of the recipe; None until it is drawn or if not counted
    moved: int | None = None  # at which of the study's moves it last began to wait or went on

    def begun(self) -> "BegunTrial | None":
        """The same where it has a recipe and Optuna's trial; None if its worker died before."""
        if not self.recipe or self.trial_id is None or self.number is None:
            return None
        return BegunTrial(**vars(self))


@dataclass(frozen=True, kw_only=True)
class BegunTrial(TrialRecord):
    """A search trial that has a recipe and Optuna's trial."""

    trial_id: int
    number: int
    recipe: Fields


@dataclass(frozen=True, kw_only=True)
class CurveRecord(Validation):
    """A validation of a trial's attempt; losses that are not finite are None."""

    trial: int
    attempt: int
    #: Optuna's number of the trial, where it was asked for.
    number: int | None = None


@dataclass(frozen=True, kw_only=True)
class ConfirmationRecord:
    """A confirmation run: a trial's recipe with a fresh seed."""

    id: int
    study_id: int
    round: str  # `choose`, `report` or `test`
    #: `candidate`, `winner`, `rival` or `baseline`.
    role: str
    #: Of the search trial whose recipe it re-runs.
    number: int
    seed: int
    #: `waiting`, then a `TrialState`.
    state: str
    worker: str | None
    attempt: int
    value: float | None
    metrics: Scores | None
    #: Loss and metrics on the task's test set.
    test: Scores | None
    reason: str | None
    epochs: float
    seconds: float
    deaths: int


@dataclass(frozen=True, kw_only=True)
class RangeTestRecord:
    """A planned, running or ended LR range test of one optimizer."""

    id: int
    study_id: int
    optimizer: str
    #: Ramps at most.
    seeds: int
    epochs_reserved: float
    #: `waiting`, then a `TrialState`.
    state: str
    worker: str | None
    attempt: int
    #: `RangeTest.to_dict()`.
    result: Fields | None
    reason: str | None
    epochs: float
    seconds: float
    deaths: int


#: What a worker holds under a lease.
Held = TrialRecord | ConfirmationRecord | RangeTestRecord


@dataclass(frozen=True, kw_only=True)
class QueuedRecord:
    """An enqueued recipe."""

    id: int
    study_id: int
    #: `baseline`, `enqueued`, `warm_start`, `portfolio`; `sampled`: one that its machine failed.
    kind: str
    recipe: Fields
    #: Of the trial that took it.
    ticket: int | None


@dataclass(frozen=True, kw_only=True)
class WorkerRecord:
    """A worker that works, or once worked, on a study."""

    id: int
    study_id: int
    name: str  # host, process id, start time
    device: str
    version: str
    #: In words; None while it looks for work.
    doing: str | None
    started_at: float
    seen_at: float
    #: None while it works, or if it ended without a word.
    ended_at: float | None
    #: Seconds since it was last seen, by the database's clock.
    since: float
    facts: Fields | None = None  # `WorkerFacts.to_dict()`; None of one that never began to train


@dataclass(frozen=True, kw_only=True)
class EventRecord:
    """A line about a fault and what was done."""

    id: int
    study_id: int
    at: float
    worker: str
    what: str


@dataclass(frozen=True, kw_only=True)
class EngineRecord:
    """What workers on a kind of hardware train with, and what was measured for it."""

    id: int
    study_id: int
    task: str
    setting: str
    device: str
    precision: str
    torch: str
    #: What `--fuse` and `--compile` asked for.
    wanted: str
    #: `solo`, `compiled` or `fused`.
    engine: str
    #: Trials at once; 1 unless fused.
    size: int
    reason: str
    #: Whether the task can be fused; None if that was not tried.
    fits: bool | None
    most: int
    budget: str
    #: Size to seconds per trial-step.
    timings: Mapping[str, float]
    probe_seconds: float
    calibration_seconds: float
    chosen_at: float


@dataclass(frozen=True, kw_only=True)
class CheckpointRecord:
    """A checkpoint's file, and what it must hold."""

    kind: str
    item: int
    #: 0 or 1: the newest two take turns.
    slot: int
    study_id: int
    attempt: int
    step: int
    #: Its name in the study's checkpoint folder.
    file: str
    sha256: str
    #: 0: removed.
    bytes: int
    saved_at: float


@dataclass(frozen=True, kw_only=True)
class LeaseRecord:
    """A worker's hold on a trial, range test or confirmation run."""

    #: A `leases.Kind`, and the id of what is held.
    kind: str
    item: int
    study_id: int
    worker: str
    attempt: int
    #: None once it was let go.
    expires_at: float | None
    #: Whether the end of what is held was asked for.
    stop: bool
    #: Seconds until it expires, below 0 where it has.
    left: float | None


@dataclass(frozen=True, kw_only=True)
class WindowRecord:
    """What a range test has found so far."""

    optimizer: str
    #: Whether it is still to end.
    open: bool
    result: Fields | None


def fetch_as(connection: Connection, query: Executable, record: type[R]) -> Sequence[R]:
    """The rows of a query as values of `record`, whose fields are its columns."""
    return [record(**row) for row in connection.execute(query).mappings()]


def fetch_first_as(connection: Connection, query: Executable, record: type[R]) -> R | None:
    """The first row of a query as such a value; None if there is no row."""
    row = connection.execute(query).mappings().first()
    return None if row is None else record(**row)
