"""A first run of a training script or a command: until it reports, before anything is searched."""

import logging
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import torch

from lrsearch.child_process.folders import OUTPUT
from lrsearch.command.first_report import first_report
from lrsearch.errors import TaskError
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.textbook import textbook_recipes
from lrsearch.spec.sample_recipes import sample
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import LoadedCode
from lrsearch.training.failures import TrialFailedError
from lrsearch.training.training import Purpose
from lrsearch.worker.command_program import CommandProgram
from lrsearch.worker.prove_script import prove_script
from lrsearch.worker.script_program import ScriptProgram
from lrsearch.worker.script_training import ScriptTraining

log = logging.getLogger("lrsearch")

#: How long a script may take to its first report.
MOST_SECONDS = 3600.0
LISTEN_SECONDS = 0.25
#: Resume is proved without being asked for where that trains at most this share of the budget.
MOST_SHARE = 0.03
#: Epochs that the proof trains: two, then one, then one more.
PROOF_EPOCHS = 4


@dataclass(frozen=True, kw_only=True)
class FirstRun:
    """What a script has shown until its first report."""

    steps_per_epoch: int
    #: From its start to its first report.
    seconds: float
    #: At the first report.
    epoch: float
    #: Whether it validates the weight average, and whether it says its losses.
    averages: bool
    reads_loss: bool
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    #: How a trial goes on after an interruption: `exact`, `approximate (NAMES)`, `not proven`, or
    #: what a command does.
    resume: str


def calm_recipe(spec: StudySpec) -> Recipe:
    """What a first run trains: the baseline, else a textbook recipe, else one of the space."""
    given = [recipe for _, recipe in spec.given_recipes()]
    fields = [*given, *textbook_recipes(spec.space, 1)]
    return spec.recipe(fields[0], batch_size=None) if fields else sample(spec, 1, None)[0]


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


def try_command(spec: StudySpec, device: str) -> FirstRun:
    """Run a command until its first report. Raises TaskError in one line."""
    program = CommandProgram(spec, device)
    with tempfile.TemporaryDirectory(prefix="lrsearch-") as folder:
        training = program.training(calm_recipe(spec), Purpose(kind="check", folder="check"))
        training.folder = Path(folder) / "check"
        output = training.folder / OUTPUT
        try:
            training.begin()
            assert training.child is not None
            assert training.reader is not None
            words = training.words()
            found = first_report(
                training.child, training.reader, output, words, timeout=MOST_SECONDS
            )
            epoch = max(1.0, training.placed(found.reading).epoch)
        except TrialFailedError as failure:
            raise TaskError(str(failure)) from failure
        finally:
            training.end("checked")
            program.close()
    notes = [str(found), "no LR range test: the space gives the learning rates"]
    if not spec.resume_args:
        notes.append("an interrupted trial begins anew: the study has no resume_args")
    return FirstRun(
        steps_per_epoch=1,
        seconds=found.seconds,
        epoch=epoch,
        averages=False,
        reads_loss=False,
        # Python has been told not to keep its output back: its reports are that close together.
        warnings=() if found.warning is None or _is_python(words) else (found.warning,),
        notes=tuple(notes),
        resume="by the command's resume_args" if spec.resume_args else "begins anew",
    )


def _is_python(words: Sequence[str]) -> bool:
    return any(PurePath(word).name.startswith("python") for word in words[:-1])
