"""The kept output of a trial of a script: where it lies, and its bytes as they come."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from lrsearch.child_process.folders import OUTPUT, confirmation_name, search_name, trial_folder
from lrsearch.errors import StudyError
from lrsearch.report.load import StudyHandle
from lrsearch.report.one_trial import no_such_trial
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import confirmations, trials, worker_identity
from lrsearch.storage.records import ConfirmationRecord, TrialRecord
from lrsearch.trial import states

#: Seconds between two looks at a file that is followed.
POLL_SECONDS = 0.2
#: Seconds between two looks at whether its trial still runs: a query of the database.
ENDED_SECONDS = 1.0
CHUNK = 1 << 16


class KeepsOutput(StudyHandle, Protocol):
    """A study of a database with its definition."""

    @property
    def spec(self) -> StudySpec: ...


#: A trial of the search, or a confirmation run of it.
Run = TrialRecord | ConfirmationRecord


def find_run(study: KeepsOutput, number: int, seed: int | None) -> Run:
    """The trial, or its confirmation run with this seed. Raises StudyError where there is none."""
    with study.database.read() as connection:
        trial = trials.by_number(connection, study.study_id, number)
        if trial is None:
            raise no_such_trial(study, number)
        if seed is None:
            return trial
        runs = confirmations.everything(connection, study.study_id)
    mine = {run.seed: run for run in runs if run.number == number}
    if seed not in mine:
        known = ", ".join(map(str, mine)) or "it has none yet"
        raise StudyError(f"trial {number} has no confirmation run with seed {seed}: {known}")
    return mine[seed]


def output_file(study: KeepsOutput, run: Run) -> Path:
    """The file with the output of all attempts. Raises StudyError where it is not here."""
    if isinstance(run, ConfirmationRecord):
        what = f"the confirmation run of trial {run.number} with seed {run.seed}"
        name = confirmation_name(run.number, run.seed)
    else:
        what = f"trial {run.number}"
        name = search_name(run.number or 0)
    folder = trial_folder(study.name, name).absolute()
    path = folder / OUTPUT
    if path.is_file():
        return path
    if study.spec.program == "task":
        raise StudyError(
            f"study {study.name!r} has a task, which prints where its worker does; the output of "
            f"scripts alone is kept"
        )
    if run.worker is None:
        raise StudyError(f"{what} has no output in {folder}, and no worker has it now")
    host = worker_identity.place(run.worker)[0]
    raise StudyError(
        f"{what} has no output in {folder}: host {host} ran it (worker {run.worker}); look there, "
        f"in the folder that the worker was started in"
    )


def chunks(study: KeepsOutput, number: int, seed: int | None, *, follow: bool) -> Iterator[bytes]:
    """The output so far; with `follow` also what comes until the run ends.

    Raises StudyError where there is no such run, and where its output is not here.
    """
    path = output_file(study, find_run(study, number, seed))
    with path.open("rb") as file:
        looked, over = 0.0, not follow
        while True:
            while chunk := file.read(CHUNK):
                yield chunk
            if over:
                return
            if time.monotonic() - looked >= ENDED_SECONDS:
                # What is written before the end is read once more after it was seen.
                over, looked = _has_ended(study, number, seed), time.monotonic()
            else:
                time.sleep(POLL_SECONDS)


def _has_ended(study: KeepsOutput, number: int, seed: int | None) -> bool:
    return find_run(study, number, seed).state not in states.OPEN
