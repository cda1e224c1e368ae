"""What a worker decides before its first trial: which engine trains, and how many trials at once.

What is chosen is recorded with the study: its later workers on the same hardware take it over. What
was measured serves all studies of the database whose steps are the same.
"""

import hashlib
import json
import logging
import math
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from lrsearch.catalog.domains import first_value
from lrsearch.confirmation.budget import MOST_RUNS, allowed_runs, reserved_share
from lrsearch.errors import StudyError, TaskError
from lrsearch.fusing import choice as rules
from lrsearch.fusing import fuse_option
from lrsearch.fusing.choice import Choice, Workload
from lrsearch.fusing.fuse_option import FuseOption
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.sample_recipes import sample
from lrsearch.storage import engines, studies, worker_identity, workers
from lrsearch.storage.engines import MeasurementKey
from lrsearch.storage.records import StudyRecord
from lrsearch.study.open_study import OpenStudy
from lrsearch.task.code import code_hash
from lrsearch.training.devices import hardware
from lrsearch.training.failures import TrialFailedError, failures
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.timing import measure as measuring
from lrsearch.training.timing.drawing import drawing
from lrsearch.version import __version__

if TYPE_CHECKING:
    import torch

log = logging.getLogger("lrsearch")


def choose(
    search: OpenStudy,
    cache: TaskCache,
    device: "torch.device",
    fuse: FuseOption = "auto",
    *,
    started_together: int = 1,
) -> Choice:
    """The engine for a worker's trials, logged and recorded with the study.

    `started_together` counts the workers that were started together, this one included: they may
    not be in the database yet. Raises SpecError or TaskError if `fuse` is a number that the study
    or its task does not allow, StudyError if the study was deleted.
    """
    fuse_option.check(search.spec, fuse)
    chooser = _EngineChooser(search, cache, device, started_together)
    study, key, budget, option = search.study_id, chooser.key, chooser.budget, str(fuse)
    found = None
    row = search.database.look(
        lambda c: engines.recorded(c, study, key, fuse=option, budget=budget)
    )
    if row is None:
        found = chooser.choice(fuse)
        content = found.to_row()
        row = search.database.run(
            lambda c: engines.record(c, study, key, content, fuse=option, budget=budget)
        )
        log.info("%s", found.line)
    # What stands is the first that was recorded, of whichever worker.
    standing = Choice.from_row(row)
    if found is None or found.size != standing.size:
        log.info("%s, as chosen before", _without_costs(standing).line)
    return standing


def _without_costs(choice: Choice) -> Choice:
    """The same as this worker states it, which measured nothing."""
    return replace(choice, probe_seconds=0.0, calibration_seconds=0.0)


@dataclass(frozen=True, kw_only=True)
class _Snapshot:
    """A study at one moment."""

    study: StudyRecord
    #: Seconds since its first trial was asked for.
    elapsed: float
    #: That are alive.
    workers: int


class _EngineChooser:
    """Chooses for one worker: for its study, task and device."""

    def __init__(
        self, search: OpenStudy, cache: TaskCache, device: "torch.device", started_together: int
    ) -> None:
        self.search, self.spec, self.cache, self.device = search, search.spec, cache, device
        self.started_together = started_together
        self.params = {name: first_value(d) for name, d in self.spec.space.params.items()}

    @cached_property
    def recipes(self) -> list[Recipe]:
        """What is timed: a recipe of each optimizer of the space."""
        size = self.cache.batch_size(self.params)
        return sample(self.spec, len(self.spec.space.optimizers), size)

    @cached_property
    def key(self) -> MeasurementKey:
        """What a measurement holds for."""
        spec, loaded = self.spec, self.cache.loaded
        setting = {
            "task": loaded.reference,
            "lrsearch": __version__,
            "params": self.params,
            "batch_size": self.cache.batch_size(self.params),
            "optimizers": sorted(spec.space.optimizers),
            **{name: spec.to_dict().get(name) for name in ("clip_norm", "ema", "accumulate")},
        }
        # A task that is an object of this process has no code that others could compare.
        code = loaded.code or {"study": str(self.search.study_id)}
        return MeasurementKey(
            task=code_hash(code),
            setting=hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest(),
            device=hardware(self.device),
            precision=spec.precision,
            torch=version("torch"),
        )

    @cached_property
    def now(self) -> "_Snapshot":
        """The study as it is when this is asked first."""

        def look(connection: Connection) -> _Snapshot:
            study = studies.by_id(connection, self.search.study_id)
            if study is None:
                raise StudyError(f"study {self.search.name!r} was deleted")
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
        study = self.now.study
        totals = {
            "trials": study.trials_total,
            "epochs": study.epochs_total,
            "s": study.seconds_total,
        }
        return ", ".join(f"{total:g} {name}" for name, total in totals.items() if total is not None)

    @property
    def workload(self) -> Workload:
        study, per_epoch = self.now.study, self.search.steps_per_epoch
        horizon = self.search.horizon
        steps = horizon * per_epoch
        trials, left = [math.inf], [math.inf]
        if study.trials_total is not None:
            trials.append(study.trials_total)
            share = 1.0 if self.spec.pruning is None else rules.PRUNED_SHARE
            left.append((study.trials_total - study.trials_counted) * steps * share)
        if study.epochs_total is not None:
            epochs = study.epochs_total * (1 - reserved_share(self.spec, horizon))
            trials.append(epochs / horizon)
            left.append((epochs - study.epochs_used - study.epochs_reserved) * per_epoch)
        confirm = self._confirmation_runs(study.trials_total)
        seconds = math.inf if study.seconds_total is None else study.seconds_total
        return Workload(
            trial_steps=steps,
            workers=self.now.workers,
            trials=min(trials),
            steps_left=max(0.0, min(left)) + confirm * steps,
            seconds=seconds,
            seconds_left=max(0.0, seconds - self.now.elapsed),
        )

    def _confirmation_runs(self, trials: int | None) -> int:
        """How many runs of full length confirm the search, where it has so many trials."""
        if self.spec.confirm is None or trials is None:
            return 0
        runs = allowed_runs(self.spec, started=trials, epochs_left=None, horizon=1.0)
        return min(self.spec.confirm.runs or MOST_RUNS, runs)

    def choice(self, fuse: FuseOption) -> Choice:
        found = self._given(fuse) if fuse != "auto" else self._chosen()
        return replace(found, precision=self.key.precision, device=self.key.device)

    def _given(self, fuse: FuseOption) -> Choice:
        """As was asked for. Raises TaskError if the task does not allow it."""
        if not isinstance(fuse, int):
            return Choice.solo("--fuse off")
        try:
            with failures():
                reason, seconds = drawing(self.cache, self.recipes), 0.0
                if reason is None:
                    reason, seconds = measuring.obstacle(self.cache, self.recipes[0])
        except TrialFailedError as failure:
            reason, seconds = str(failure), 0.0
        if reason is not None:
            raise TaskError(f"--fuse {fuse}: {reason}; leave --fuse out")
        return Choice(
            engine="fused",
            size=fuse,
            reason=f"--fuse {fuse}",
            fits=True,
            probe_seconds=seconds,
        )

    def _chosen(self) -> Choice:
        if reason := fuse_option.not_shared(self.spec):
            return Choice.solo(reason)
        if self.device.type == "mps":
            return Choice.solo("on mps it is not measured; --fuse K takes K trials at once")
        try:
            with failures():
                if reason := drawing(self.cache, self.recipes):
                    return Choice.solo(reason)
                known = self._known()
                return known or measuring.measure(
                    self.spec, self.cache, self.recipes, self.workload
                )
        except TrialFailedError as failure:  # its trials will say so, too
            return Choice.solo(f"it cannot be tried: {failure}")

    def _known(self) -> Choice | None:
        """What follows from what was measured before, for any study of the database."""
        for row in self.search.database.look(lambda c: engines.measured(c, self.key)):
            if not row.fits:
                return Choice.solo(row.reason, fits=False)
            timings = Choice.from_row(row).timings
            most = self.workload.most_at_once(timings.get(1, 0.0))
            if 1 in timings and rules.covers(timings, row.most, most):
                engine, size, reason = rules.decide(timings, most)
                return Choice(
                    engine=engine,
                    size=size,
                    reason=reason,
                    fits=True,
                    most=row.most,
                    timings=timings,
                )
        return None
