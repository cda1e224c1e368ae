"""What a worker decides before its first trial: which engine trains, and how many trials at once.

What is chosen is recorded with the study: its later workers on the same hardware take it over. What
was measured serves all studies of the database whose steps are the same.
"""

import hashlib
import json
import logging
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING

from lrsearch.catalog.domains import first_value
from lrsearch.errors import TaskError
from lrsearch.fusing import choice as rules
from lrsearch.fusing import compiling, fuse_option
from lrsearch.fusing.choice import Choice
from lrsearch.fusing.compiling import CompileOption
from lrsearch.fusing.fuse_option import FuseOption
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.sample_recipes import sample
from lrsearch.storage import engines
from lrsearch.storage.engines import MeasurementKey
from lrsearch.study.open_study import OpenStudy
from lrsearch.task.code import code_hash
from lrsearch.training.devices import hardware
from lrsearch.training.failures import TrialFailedError, failures
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.timing import measure as measuring
from lrsearch.training.timing.drawing import drawing
from lrsearch.training.timing.try_compiled import try_compiled
from lrsearch.version import __version__
from lrsearch.worker.tasks.workload import StudyWorkload

if TYPE_CHECKING:
    import torch

log = logging.getLogger("lrsearch")


def choose(
    search: OpenStudy,
    cache: TaskCache,
    device: "torch.device",
    fuse: FuseOption = "auto",
    compile: CompileOption = "auto",
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
    study, key, budget = search.study_id, chooser.key, chooser.study.budget
    option = compiling.recorded_as(fuse, compile)
    found = None
    row = search.database.look(
        lambda c: engines.recorded(c, study, key, fuse=option, budget=budget)
    )
    if row is None:
        found = chooser.choice(fuse, compile)
        content = found.to_row()
        row = search.database.run(
            lambda c: engines.record(c, study, key, content, fuse=option, budget=budget)
        )
        log.info("%s", found.line)
    # What stands is the first that was recorded, of whichever worker.
    standing = Choice.from_row(row)
    if found is None or (found.engine, found.size) != (standing.engine, standing.size):
        log.info("%s, as chosen before", _without_costs(standing).line)
    return standing


def _without_costs(choice: Choice) -> Choice:
    """The same as this worker states it, which measured nothing."""
    return replace(choice, probe_seconds=0.0, calibration_seconds=0.0)


class _EngineChooser:
    """Chooses for one worker: for its study, task and device."""

    def __init__(
        self, search: OpenStudy, cache: TaskCache, device: "torch.device", started_together: int
    ) -> None:
        self.search, self.spec, self.cache, self.device = search, search.spec, cache, device
        self.study = StudyWorkload(search, started_together)
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

    def choice(self, fuse: FuseOption, compile: CompileOption) -> Choice:
        found = self._given(fuse) if fuse != "auto" else self._chosen()
        if (fuse, compile) == ("auto", "auto"):
            found = self._compiled(found)
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
                    self.spec, self.cache, self.recipes, self.study.workload
                )
        except TrialFailedError as failure:  # its trials will say so, too
            return Choice.solo(f"it cannot be tried: {failure}")

    def _compiled(self, found: Choice) -> Choice:
        """Compiled steps, where these are measured to pay beside what was found."""
        alone = self.spec.devices_per_trial > 1 or fuse_option.searched_params(self.spec)
        if self.device.type == "mps" or alone:
            return found
        try:
            with failures():
                return try_compiled(self.spec, self.cache, self.recipes, found, self.study.workload)
        except TrialFailedError as failure:  # its trials will say so, too
            log.info("steps are not compiled: %s", failure)
            return found

    def _known(self) -> Choice | None:
        """What follows from what was measured before, for any study of the database."""
        for row in self.search.database.look(lambda c: engines.measured(c, self.key)):
            if not row.fits:
                return Choice.solo(row.reason, fits=False)
            timings = Choice.from_row(row).timings
            most = self.study.workload.most_at_once(timings.get(1, 0.0))
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
