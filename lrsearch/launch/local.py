"""Workers as processes of this machine that outlive the command which started them."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lrsearch.errors import StudyError
from lrsearch.launch.fleet import UNFINISHED, Fleet
from lrsearch.launch.target import Member, launch_folder, remember, remembered
from lrsearch.private_files import make_private_folder, private
from lrsearch.storage import worker_identity
from lrsearch.worker.command_line import STARTED_BY, command_line
from lrsearch.worker.forks import STARTED_TOGETHER, worker_environment

#: A worker that is asked to stop has so long to write its checkpoint.
STOP_SECONDS = 60.0
LOOK_SECONDS = 0.1


class LocalTarget:
    """See `target.Target`. The study's files are used where they are."""

    name = "local"

    def plan(self, fleet: Fleet) -> str:
        fleet.check_settings(self.name, ())
        return "\n".join(shlex.join(["lrsearch", *words]) for words in _all_words(fleet))

    def start(self, fleet: Fleet) -> Sequence[Member]:
        fleet.check_settings(self.name, ())
        before = _alive(remembered(fleet.study, self.name))
        folder = launch_folder(fleet.study)
        make_private_folder(folder)
        members = [_start(fleet, words, _log(folder)) for words in _all_words(fleet)]
        remember(fleet.study, self.name, [*before, *members])
        return members

    def stop(self, study: str) -> Sequence[Member]:
        members = _alive(remembered(study, self.name))
        for member in members:
            os.kill(_pid(member), signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while (left := _alive(members)) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        remember(study, self.name, left)
        if left:
            ids = ", ".join(str(_pid(member)) for member in left)
            raise StudyError(
                f"workers {ids} have not ended within {STOP_SECONDS:.0f} s; look into "
                f"{launch_folder(study)}, and give the same command again"
            )
        return members


def _all_words(fleet: Fleet) -> list[list[str]]:
    """Of each worker; with `auto` they are spread over the devices of this machine, with `cuda`
    over its GPUs. Raises DeviceError where it has none."""
    devices = [fleet.device]
    if fleet.device in ("auto", "cuda"):
        from lrsearch.training.devices import every_gpu, local_workers

        per_trial = fleet.devices_per_trial
        devices = local_workers(per_trial) if fleet.device == "auto" else every_gpu(per_trial)
    on = (devices[index % len(devices)] for index in range(fleet.workers))
    more = [] if fleet.time_limit is None else ["--unfinished-code", str(UNFINISHED)]
    return [[*fleet.words(fleet.code.folder, device=device), *more] for device in on]


def _log(folder: Path) -> Path:
    """A new file for the log of one worker."""
    number = 0
    while True:
        path = folder / f"worker-{number}.log"
        try:
            with open(path, "x", opener=private):
                return path
        except FileExistsError:
            number += 1


def _start(fleet: Fleet, words: Sequence[str], log: Path) -> Member:
    environment = {
        **worker_environment(),
        **fleet.environment(),
        STARTED_TOGETHER: str(fleet.workers),
        STARTED_BY: command_line(),
    }
    # Without a limit nothing follows a worker: it is its own process.
    program = "lrsearch" if fleet.time_limit is None else "lrsearch.launch.local_keeper"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", program, *words, "-v"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # it lives on when this command and its terminal have ended
        )
    return Member(id=worker_identity.identity(process.pid), log=str(log))


def _alive(members: Sequence[Member]) -> list[Member]:
    return [member for member in members if not _is_gone(member)]


def _is_gone(member: Member) -> bool:
    """Whether the process has ended; one that this process started is reaped first."""
    pid = _pid(member)
    with suppress(ChildProcessError):  # of one that an earlier command started
        os.waitpid(pid, os.WNOHANG)
    return worker_identity.is_dead(member.id)


def _pid(member: Member) -> int:
    pid = worker_identity.place(member.id)[1]
    if pid is None:
        raise StudyError(f"worker {member.id!r} is on another machine; give the command there")
    return pid
