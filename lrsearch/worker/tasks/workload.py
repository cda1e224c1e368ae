"""What a study has left to train, and how many workers share it, at one moment."""

import math
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Connection

from lrsearch.confirmation.budget import MOST_RUNS, allowed_runs, reserved_share
from lrsearch.fusing.choice import PRUNED_SHARE, Workload
from lrsearch.storage import studies, worker_identity, workers
from lrsearch.storage.records import StudyRecord
from lrsearch.study.deletion import DeletedStudyError
from lrsearch.study.open_study import OpenStudy


@dataclass(frozen=True, kw_only=True)
class _Snapshot:
    """A study at one moment."""

    study: StudyRecord
    #: Seconds since its first trial was asked for.
    elapsed: float
    #: That are alive.
    workers: int


class StudyWorkload:
    """A study as it is when this is asked first."""

    def __init__(self, search: OpenStudy, started_together: int) -> None:
        self.search, self.spec = search, search.spec
        self.started_together = started_together

    @cached_property
    def _now(self) -> _Snapshot:
        """Raises DeletedStudyError if the study was deleted."""

        def look(connection: Connection) -> _Snapshot:
            study = studies.by_id(connection, self.search.study_id)
            if study is None:
                raise DeletedStudyError(self.search.name)
            elapsed = studies.elapsed(connection, self.search.study_id)
            lease = self.spec.lease.seconds
            names = workers.alive(connection, self.search.study_id, lease)
            alive = sum(not worker_identity.is_dead(name) for name in names)
            return _Snapshot(
                study=study, elapsed=elapsed, workers=max(1, alive, self.started_together)
            )

        return self.search.database.look(look)

    @property
    def budget(self) -> str:
        """The study's budget in words: a choice holds for it alone."""
        study = self._now.study
        totals = {
            "trials": study.trials_total,
            "epochs": study.epochs_total,
            "s": study.seconds_total,
        }
        return ", ".join(f"{total:g} {name}" for name, total in totals.items() if total is not None)

    @property
    def workload(self) -> Workload:
        """In steps and seconds, for the rules of fusing."""
        study, per_epoch = self._now.study, self.search.steps_per_epoch
        horizon = self.search.horizon
        steps = horizon * per_epoch
        trials, left = [math.inf], [math.inf]
        if study.trials_total is not None:
            trials.append(study.trials_total)
            share = 1.0 if self.spec.pruning is None else PRUNED_SHARE
            left.append((study.trials_total - study.trials_counted) * steps * share)
        if study.epochs_total is not None:
            epochs = study.epochs_total * (1 - reserved_share(self.spec, horizon))
            trials.append(epochs / horizon)
            left.append((epochs - study.epochs_used - study.epochs_reserved) * per_epoch)
        confirm = self._confirmation_runs(study.trials_total)
        seconds = math.inf if study.seconds_total is None else study.seconds_total
        return Workload(
            trial_steps=steps,
            workers=self._now.workers,
            trials=min(trials),
            steps_left=max(0.0, min(left)) + confirm * steps,
            seconds=seconds,
            seconds_left=max(0.0, seconds - self._now.elapsed),
        )

    def _confirmation_runs(self, trials: int | None) -> int:
        """How many runs of full length confirm the search, where it has so many trials."""
        if self.spec.confirm is None or trials is None:
            return 0
        runs = allowed_runs(self.spec, started=trials, epochs_left=None, horizon=1.0)
        return min(self.spec.confirm.runs or MOST_RUNS, runs)
