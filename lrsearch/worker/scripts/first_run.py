"""A first run of a training script: until it reports, before anything is searched."""

import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from lrsearch.errors import TaskError
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import LoadedCode
from lrsearch.training.failures import TrialFailedError
from lrsearch.training.training import Purpose
from lrsearch.worker.scripts.program import ScriptProgram
from lrsearch.worker.scripts.proof import prove_script
from lrsearch.worker.scripts.training import ScriptTraining
from lrsearch.worker.user_process.first_run import MOST_SECONDS, FirstRun, calm_recipe

LISTEN_SECONDS = 0.25
#: Resume is proved without being asked for where that trains at most this share of the budget.
MOST_SHARE = 0.03
#: Epochs that the proof trains: two, then one, then one more.
PROOF_EPOCHS = 4


def try_script(
    spec: StudySpec, loaded: LoadedCode, device: torch.device, *, proves: bool
) -> FirstRun:
    """Run a `train` script until its first report. Raises TaskError in one line.

    `proves`: whether resume is proved whatever that costs; else where it is cheap.
    """
    program = ScriptProgram(spec, loaded, device)
    with tempfile.TemporaryDirectory(prefix="lrsearch-") as folder:
        training = ScriptTraining(
            spec,
            calm_recipe(spec),
            Purpose(kind="check", folder="check"),
            Path(folder) / "check",
            program.surroundings,
        )
        started = time.monotonic()
        try:
            _until_report(training)
            found = _seen(spec, training, time.monotonic() - started)
            training.end("checked")
            if proves or _is_cheap(spec, found.steps_per_epoch):
                found = _proved(spec, found, loaded, device)
        except TrialFailedError as failure:
            raise TaskError(str(failure)) from failure
        finally:
            training.end("checked")
            program.close()
    return found


def _is_cheap(spec: StudySpec, steps_per_epoch: int) -> bool:
    total = spec.budget.most_epochs(spec.horizon_epochs(steps_per_epoch))
    if spec.budget.trials is not None:
        runs = spec.budget.trials * spec.horizon_epochs(steps_per_epoch)
        total = runs if total is None else min(total, runs)
    return total is not None and MOST_SHARE * total >= PROOF_EPOCHS


def _proved(spec: StudySpec, found: FirstRun, loaded: LoadedCode, device: torch.device) -> FirstRun:
    """With what two epochs have shown about going on after an interruption."""
    proof = prove_script(spec, loaded, device, calm_recipe(spec), found.steps_per_epoch)
    if proof.exact:
        return replace(found, resume="exact", notes=(*found.notes, proof.line))
    resume = f"approximate ({', '.join(proof.differs[:4])})"
    return replace(found, resume=resume, warnings=(*found.warnings, proof.line))


def _until_report(training: ScriptTraining) -> None:
    deadline = time.monotonic() + MOST_SECONDS
    while not training.is_due and not training.done:
        training.go_on(LISTEN_SECONDS)
        if time.monotonic() > deadline:
            raise TrialFailedError(f"no report within {MOST_SECONDS:.0f} s")


def _seen(spec: StudySpec, training: ScriptTraining, seconds: float) -> FirstRun:
    report = training.waiting
    if report is None:
        raise TaskError(f"the first run has diverged ({training.diverged}); give a calmer baseline")
    if training.steps_per_epoch < 1:
        raise TaskError(
            "the script reported before `run.build` was called, so nothing would be searched; take "
            "its optimizer from run.build(model, steps_per_epoch=len(loader))"
        )
    shown = ", ".join(f"{name} {value:.6g}" for name, value in report.metrics.items())
    notes = [f"first report after {seconds:.1f} s, at epoch {report.epoch:.4g}: {shown}"]
    averages, reads_loss = report.metrics_ema is not None, not math.isnan(training.start_loss)
    if not averages and spec.ema is not None:
        notes.append("weight averages are not validated: the script does not use run.average()")
    if not reads_loss and spec.range_test != "none":
        notes.append("no LR range test: the script does not call run.loss(loss)")
    return FirstRun(
        steps_per_epoch=training.steps_per_epoch,
        seconds=seconds,
        epoch=report.epoch,
        averages=averages,
        reads_loss=reads_loss,
        warnings=tuple(sorted(training.surroundings.hints)),
        notes=tuple(notes),
        resume="not proven",
    )
