"""Workers as one array job of Slurm, through submitit."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.errors import StudyError
from lrsearch.launch.extras import require
from lrsearch.launch.fleet import UNFINISHED, Fleet
from lrsearch.launch.slurm_job import SIGNAL, WorkerJob
from lrsearch.launch.target import Member, launch_folder, remember, remembered
from lrsearch.private_files import make_private_folder
from lrsearch.study_name import path_part

if TYPE_CHECKING:
    from submitit import SlurmExecutor

#: Jobs run so long where `--time-limit` is not given, and are then queued again: seconds.
DEFAULT_SECONDS = 24 * 3600.0
#: Slurm's signal comes so long before the limit, up to a minute earlier (sbatch --signal); it
#: leaves the last quarter of a short job.
SIGNAL_SECONDS, SIGNAL_SHARE = 90.0, 0.25
#: How often a job may come to its time limit; a study of months is no accident.
MOST_REQUEUES = 1000
STOPPED = "stopped"


class SlurmTarget:
    """See `target.Target`. The current folder is one that all nodes share."""

    name = "slurm"

    def plan(self, fleet: Fleet) -> str:
        executor = _executor(fleet, launch_folder(fleet.study))
        text: str = executor._make_submission_file_text(executor._submitit_command_str, "plan")
        job = _job(fleet, launch_folder(fleet.study) / "code")
        return f"{text}\n# each job of the array runs: lrsearch {' '.join(job.words)}"

    def start(self, fleet: Fleet) -> Sequence[Member]:
        folder = launch_folder(fleet.study)
        make_private_folder(folder)
        executor = _executor(fleet, folder)
        (folder / STOPPED).unlink(missing_ok=True)
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        job = _job(fleet, fleet.code.write(folder / f"code-{stamp}"))
        with _environment(fleet), _sbatch_errors(), executor.batch():
            jobs = [executor.submit(job) for _ in range(fleet.workers)]
        members = [Member(id=job.job_id, log=str(job.paths.stderr)) for job in jobs]
        remember(fleet.study, self.name, [*remembered(fleet.study, self.name), *members])
        return members

    def stop(self, study: str) -> Sequence[Member]:
        members = remembered(study, self.name)
        if not members:
            return []
        _program("scancel")
        (launch_folder(study) / STOPPED).touch()
        ids = [member.id for member in members]
        # What waits is cancelled. What runs is told by SIGTERM, its batch script apart, which would
        # end at once: a worker saves first.
        _run(["scancel", "--state=PENDING", *ids])
        _run(["scancel", "--signal=TERM", *ids])
        remember(study, self.name, [])
        return members


def _job(fleet: Fleet, code: Path) -> WorkerJob:
    words = [*fleet.words(code), "--unfinished-code", str(UNFINISHED), "-v"]
    return WorkerJob(words, launch_folder(fleet.study) / STOPPED)


def _executor(fleet: Fleet, folder: Path) -> "SlurmExecutor":
    require("submitit", "slurm", "--on slurm")
    from submitit import SlurmExecutor

    _program("srun")
    # A worker obeys SIGUSR1; SIGUSR2, which submitit takes by default, would kill it.
    name = SIGNAL.name.removeprefix("SIG")
    seconds = DEFAULT_SECONDS if fleet.time_limit is None else fleet.time_limit
    executor = SlurmExecutor(folder=folder / "jobs", max_num_timeout=MOST_REQUEUES)
    executor.update_parameters(
        job_name=f"lrsearch-{path_part(fleet.study)}",
        time=ceil(seconds / 60),
        setup=[f"export SUBMITIT_PREEMPT_SIGNAL={name}"],
        # A worker that fails ends alone.
        srun_args=["--kill-on-bad-exit=0"],
        additional_parameters={
            "requeue": True,
            "signal": f"{name}@{int(min(SIGNAL_SECONDS, seconds * SIGNAL_SHARE))}",
            **_gpus(fleet),
            **fleet.settings,
        },
    )
    return executor


def _gpus(fleet: Fleet) -> dict[str, int]:
    return {"gpus-per-node": fleet.gpus} if fleet.gpus else {}


def _program(name: str) -> None:
    if shutil.which(name) is None:
        raise StudyError(
            f"--on slurm: {name} is not on PATH; give the command where Slurm's commands are, such "
            f"as a login node"
        )


def _run(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    # A job that has ended meanwhile is no trouble.
    if ended.returncode and "Invalid job id" not in ended.stderr:
        raise StudyError(f"{command[0]}: {' '.join(ended.stderr.split())}")


@contextmanager
def _environment(fleet: Fleet) -> Iterator[None]:
    """What opens the database, in the environment that sbatch hands on; it is in no file."""
    before = dict(os.environ)
    os.environ.update(fleet.environment())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _sbatch_errors() -> Iterator[None]:
    from submitit.core.utils import FailedJobError

    try:
        yield
    except FailedJobError as error:
        raise StudyError(f"sbatch: {' '.join(str(error).split())}") from error
