"""Workers that a call of this process starts, forked from one that has imported torch."""

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import spares
from command import in_process

from lrsearch.worker import local_workers
from lrsearch.worker.forks import PARENT


@contextmanager
def started_quickly():
    """Meanwhile all that this process starts are such workers."""
    before = local_workers.subprocess
    local_workers.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": Forked})
    try:
        yield
    finally:
        local_workers.subprocess = before


class Forked:
    """In place of `subprocess.Popen`: a worker that is forked from one that has imported torch."""

    def __init__(self, command, *, env, stdout, stderr, start_new_session):
        errors = os.devnull if stderr is None else stderr.name
        self.args = command
        self._process = in_process(_work, command, dict(env), Path.cwd(), errors)
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self._process.kill()


def _work(command, environment, folder, errors):
    os.chdir(folder)
    environment[PARENT] = str(os.getppid())  # it ends with the server that forks it
    with Path(errors).open("ab") as file:
        spares.work(["lrsearch", *command[3:]], environment, errors=file.fileno())
