"""A first run of a command: until it reports, before anything is searched."""

import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePath

from lrsearch.child_process.folders import OUTPUT
from lrsearch.command.first_report import first_report
from lrsearch.errors import TaskError
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.failures import TrialFailedError
from lrsearch.training.training import Purpose
from lrsearch.worker.commands.program import CommandProgram
from lrsearch.worker.user_process.first_run import MOST_SECONDS, FirstRun, calm_recipe


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
