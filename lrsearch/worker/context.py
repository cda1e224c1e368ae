"""What a worker works with, whatever it trains."""

from collections.abc import Callable
from dataclasses import dataclass, field

from lrsearch.loggers.study_log import StudyLog
from lrsearch.study.open_study import OpenStudy
from lrsearch.worker.health import Health
from lrsearch.worker.leases.renewal import LeaseRenewer
from lrsearch.worker.program import Program
from lrsearch.worker.study_checkpoints import StudyCheckpoints
from lrsearch.worker.time_limit import TimeLimit


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """The study and what serves a worker to train for it."""

    search: OpenStudy
    program: Program
    renewer: LeaseRenewer
    study_checkpoints: StudyCheckpoints
    #: Whether the process was asked to end.
    stop: Callable[[], bool]
    #: Where its trials and runs are logged.
    log: StudyLog
    #: Whether this worker can train at all.
    health: Health = field(default_factory=Health)
    #: When it has to be gone.
    limit: TimeLimit = field(default_factory=TimeLimit)
