"""A first run of a study's training script or command."""

from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lrsearch.errors import SpecError
from lrsearch.loggers.installed import check_trackers
from lrsearch.preflight.checked import Checked
from lrsearch.spec.program import after_first_run
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage.records import StudyRecord
from lrsearch.task.task import LoadedCode

if TYPE_CHECKING:
    import torch

    from lrsearch.worker.user_process.first_run import FirstRun


def check_program(
    spec: StudySpec,
    path: Path,
    *,
    device: str,
    proves: bool = False,
    stored: StudyRecord | None = None,
) -> Checked:
    """Run a study's training script or command until its first report.

    `proves`: whether it is proved how a script goes on after an interruption, whatever that costs.
    Where `stored`, the study of this name that a database has, is of the same definition and code,
    its first run was made already and is not repeated.
    `path` is the study file, or stands for one in its folder. Raises SpecError, TaskError or
    DeviceError in one line.
    """
    from lrsearch.spec.command_code import load_command
    from lrsearch.storage.checkpoint_store import CheckpointStore
    from lrsearch.task.script import load_script
    from lrsearch.training.devices import pick_device

    CheckpointStore(spec.checkpoints.to, spec.name)
    check_trackers(spec.log)
    chosen = pick_device(device)
    script, folder = spec.train, path.resolve().parent
    loaded = load_command(spec, path) if script is None else load_script(script, path.parent)
    if stored is not None and not proves:
        known = _as_stored(spec, loaded, stored)
        if known is not None:
            return _checked(known, loaded, folder, stored)
    found = _first_run(spec, loaded, chosen, proves=proves)
    seen = after_first_run(spec, averages=found.averages, reads_loss=found.reads_loss)
    return replace(
        _checked(seen, loaded, folder, found),
        warnings=found.warnings,
        notes=found.notes,
        seconds_per_epoch=found.seconds / max(found.epoch, 1e-9),
    )


def _first_run(
    spec: StudySpec, loaded: LoadedCode, device: "torch.device", *, proves: bool
) -> "FirstRun":
    from lrsearch.worker.commands.first_run import try_command
    from lrsearch.worker.scripts.first_run import try_script

    if spec.train is None:
        return try_command(spec, str(device))
    return try_script(spec, loaded, device, proves=proves)


class _Seen(Protocol):
    """What a first run has shown, just now or when the study was made."""

    @property
    def steps_per_epoch(self) -> int: ...
    @property
    def resume(self) -> str | None: ...


def _checked(spec: StudySpec, loaded: LoadedCode, folder: Path, seen: _Seen) -> Checked:
    return Checked(
        spec=spec,
        loaded=loaded,
        task=None,
        folder=folder,
        steps_per_epoch=seen.steps_per_epoch,
        resume=seen.resume,
    )


def _as_stored(spec: StudySpec, loaded: LoadedCode, stored: StudyRecord) -> StudySpec | None:
    """The study as its first run has left it; None where a stored one is of another."""
    if dict(loaded.code) != dict(stored.code):
        return None
    for averages, reads_loss in product((True, False), repeat=2):
        with suppress(SpecError):  # averages are to be deployed, so the script has them
            seen = after_first_run(spec, averages=averages, reads_loss=reads_loss)
            if seen.hash() == stored.spec_hash:
                return seen
    return None
