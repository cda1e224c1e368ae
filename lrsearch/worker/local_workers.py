"""Workers as processes of this machine: started, watched, ended. It loads no torch."""

import logging
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lrsearch.child_process.fork_server import Forked, NotForkedError
from lrsearch.confirmation.budget import expected_trials
from lrsearch.errors import StudyError
from lrsearch.fusing.compiling import CompileOption
from lrsearch.fusing.fuse_option import FuseOption
from lrsearch.storage.outages import WINDOW_SECONDS, Patience
from lrsearch.study.deletion import refuse_deleted
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.status import is_finished
from lrsearch.study.versions import check_versions
from lrsearch.worker.command_line import STARTED_BY, command_line
from lrsearch.worker.forks import PARENT, STARTED_TOGETHER, WorkerForks, worker_environment

log = logging.getLogger("lrsearch")

#: How often the parent looks at its workers, and at the study once one of them has ended.
POLL_SECONDS, LOOK_SECONDS = 0.05, 0.25
#: A worker that is asked to stop has so long to write its checkpoint.
STOP_SECONDS = 60.0
#: Workers that have not ended so long after their study are asked to: one may hang in a step of a
#: trial that others have taken over and finished.
LINGER_SECONDS = 20.0


def run_local(
    search: OpenStudy,
    task_dir: Path | None,
    *,
    workers: int | None,
    device: str,
    fuse: FuseOption = "auto",
    compile: CompileOption = "auto",
    forks: WorkerForks | None = None,
) -> None:
    """Work on a study with local processes until it is finished.

    They are forked where `forks` can, else new interpreters. Raises KeyboardInterrupt after the
    workers have ended in order, StudyError when they failed.
    """
    check_versions(search.name, search.versions)
    # It answers: from now on, trouble with it is waited for, as the workers do.
    search.database.patience = Patience(seconds=WINDOW_SECONDS)
    devices = _all_devices(search, forks) if device == "auto" else [device]
    count = workers or len(devices)
    expected = expected_trials(search.spec, search.horizon)
    if expected is not None:
        count = min(count, max(1, expected))
    on = [devices[i % len(devices)] for i in range(count)]
    with LocalWorkers(search, task_dir, on, fuse, forks, compile=compile) as started:
        started.wait()
    refuse_deleted(search)
    if not is_finished(search):
        raise StudyError(f"study {search.name!r} is not finished; {started.trouble}")


def _all_devices(search: OpenStudy, forks: WorkerForks | None) -> Sequence[str]:
    """Those to start a worker on; torch knows them, which need not be loaded here for it."""
    if forks is not None and forks.devices:
        return forks.devices
    from lrsearch.training.devices import local_workers

    return local_workers(search.spec.devices_per_trial)


class LocalWorkers:
    """Local worker processes of one study."""

    def __init__(
        self,
        search: OpenStudy,
        task_dir: Path | None,
        devices: list[str],
        fuse: FuseOption = "auto",
        forks: WorkerForks | None = None,
        *,
        compile: CompileOption = "auto",
    ) -> None:
        self.search, self.task_dir, self.devices = search, task_dir, devices
        self.fuse, self.compile = fuse, compile
        self.forks = WorkerForks() if forks is None else forks
        self.processes: list[subprocess.Popen[bytes] | Forked] = []
        self.logs: list[Path] = []
        #: Why workers ended, once they have.
        self.trouble = ""
        self._folder = tempfile.TemporaryDirectory(prefix="lrsearch-")

    def __enter__(self) -> "LocalWorkers":
        for index, device in enumerate(self.devices):
            self._start(index, device)
        return self

    def _start(self, index: int, device: str) -> None:
        words = ["worker", self.search.name, "--device", device]
        words += ["--fuse", str(self.fuse), "--compile", self.compile]
        if self.task_dir is not None:
            words += ["--task-dir", str(self.task_dir)]
        logs = _log_options()
        words += logs
        path = Path(self._folder.name) / f"worker-{index}.log"
        self.logs.append(path)
        with path.open("wb") as output:
            errors = None if "-v" in logs else output
            self.processes.append(self._process(words, errors))

    def _process(
        self, words: list[str], errors: BinaryIO | None
    ) -> subprocess.Popen[bytes] | Forked:
        """`lrsearch WORDS`, its standard error in this file or, if None, this process's own."""
        location = self.search.database.location
        told = {
            # In the environment, where only this user sees it: it may hold a password.
            "LRSEARCH_STORAGE": location.url.render_as_string(hide_password=False),
            STARTED_TOGETHER: str(len(self.devices)),
            STARTED_BY: command_line(),
        }
        try:
            number = 2 if errors is None else errors.fileno()
            return self.forks.fork(words, env=told, errors=number)
        except NotForkedError as reason:
            log.debug("a worker is a new interpreter: %s", reason)
        return subprocess.Popen(
            [sys.executable, "-m", "lrsearch", *words],
            env={**worker_environment(), **told, PARENT: str(os.getpid())},
            stdout=subprocess.DEVNULL,
            stderr=errors,
            # Ctrl-C reaches this process alone, which then asks each worker once.
            start_new_session=True,
        )

    def wait(self) -> None:
        """Until every worker has ended."""
        over, looked = None, -math.inf
        with _sigterm_as_interrupt():
            while any(running := [process.poll() is None for process in self.processes]):
                time.sleep(POLL_SECONDS)
                now = time.monotonic()
                if over is None and not all(running) and now - looked > LOOK_SECONDS:
                    over, looked = (now if is_finished(self.search) else None), now
                if over is not None and now - over > LINGER_SECONDS:
                    self._stop()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self._stop()
        self.trouble = self._trouble()
        self._folder.cleanup()

    def _trouble(self) -> str:
        """Why workers ended early: the last line that one of them wrote."""
        for process, path in zip(self.processes, self.logs, strict=True):
            lines = path.read_text(errors="replace").strip().splitlines()
            if process.returncode and lines:
                return f"a worker ended with: {lines[-1].removeprefix('Error: ')}"
        return "its workers ended; run the same command again"

    def _stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in self.processes:
            try:
                process.wait(timeout=max(0.0, deadline - time.monotonic()))
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                process.kill()
                process.wait()


def _log_options() -> list[str]:
    """Options that make a worker log as this process does: as much, and to the same file."""
    options = []
    for handler in log.handlers:
        if isinstance(handler, logging.FileHandler):
            options += ["--log-file", handler.baseFilename]
        elif handler.level <= logging.INFO:
            options += ["-v"] * (2 if handler.level <= logging.DEBUG else 1)
    return options


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
