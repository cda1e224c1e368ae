"""The other processes of this worker's trials: started, told what to do, watched, ended."""

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from lrsearch.child_process.closing import Closing
from lrsearch.child_process.supervisor import Child, Supervisor
from lrsearch.child_process.warm import FIRST_USES
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import LoadedTask
from lrsearch.training.data_parallel import group
from lrsearch.training.data_parallel.orders import (
    Answer,
    Failed,
    Order,
    Ready,
    SendRandom,
    Setup,
    receive,
    send,
)
from lrsearch.training.data_parallel.place import Place
from lrsearch.training.devices import devices_of_trial
from lrsearch.training.failures import ProcessKilledError, TrialFailedError
from lrsearch.training.randomness import RandomStates

#: What such a process calls.
ENTRY = "lrsearch.training.data_parallel.rank:main"
#: How often one that says nothing is looked at.
LOOK_SECONDS = 0.2
#: One that fails may say why, or end, a moment after its connections have closed.
END_SECONDS = 2.0
#: Between SIGTERM and SIGKILL, where a process is ended.
GRACE_SECONDS = 2.0
#: What the system can do with a socket's path: characters.
MOST_OF_PATH = 100


class Process:
    """One of the other processes: its rank, how it is watched, and the way to talk to it."""

    def __init__(self, rank: int, child: Child, output: Path) -> None:
        self.rank, self.child, self.output = rank, child, output
        self.connection: Connection | None = None

    def failure(self) -> TrialFailedError | None:
        """Why it is gone, or will be; None if nothing is known against it."""
        said = self._said()
        if said is not None:
            return TrialFailedError(said.reason)
        status = self.child.wait(0)
        if status is None:
            return None
        if status == -signal.SIGKILL:
            return ProcessKilledError(f"process {self.rank} of it was killed")
        lines = self.output.read_text(errors="replace").strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        return TrialFailedError(f"process {self.rank} of it ended with status {status}{last}")

    def _said(self) -> Failed | None:
        while self.connection is not None:
            with suppress(EOFError, OSError):
                if not self.connection.poll():
                    return None
                answer = receive(self.connection)
                if isinstance(answer, Failed):
                    return answer
                continue
            return None
        return None


class Processes(Closing):
    """All processes of this worker's trials but its own, which is rank 0."""

    def __init__(self, setup: Setup, devices: Sequence[str]) -> None:
        """`setup` is that of rank 0, `devices` those of all; nothing is started yet."""
        self.setup, self.devices = setup, devices
        self._supervisor: Supervisor | None = None
        #: When that was started: what libraries have set here since would rule out a fork.
        self._environment: dict[str, str] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._running: list[Process] = []
        #: When they were last told something.
        self._told = 0.0

    def start(self) -> None:
        """Start them, unless they run. Raises TrialFailedError, SupervisorError."""
        if self._running:
            return
        self._folder = tempfile.TemporaryDirectory(prefix="lrsearch-")
        folder = Path(self._folder.name)
        setup = replace(self.setup, store=folder / "store")
        with self.guarding():
            self._connect(folder, setup)
            group.join(setup)

    def _connect(self, folder: Path, setup: Setup) -> None:
        """Start the processes, and wait until each has found its task."""
        if self._supervisor is None:
            self._environment = _environment()
            self._supervisor = Supervisor(warm=[*FIRST_USES, ENTRY.partition(":")[0]])
        address = folder / "ranks"
        assert len(str(address)) < MOST_OF_PATH, f"TMPDIR is too long for a socket: {address}"
        # In a folder of this user's own: nobody else can connect.
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(address))
            listener.listen(setup.place.ranks)
            listener.settimeout(LOOK_SECONDS)
            for rank in range(1, setup.place.ranks):
                output = folder / f"rank-{rank}.log"
                child = self._supervisor.fork(
                    ENTRY, [str(address)], env=self._environment, cwd=Path.cwd(), output=output
                )
                process = Process(rank, child, output)
                self._running.append(process)
                process.connection = self._accepted(listener)
                place = replace(setup.place, rank=rank)
                send(process.connection, replace(setup, device=self.devices[rank], place=place))
        for process in self._running:
            assert isinstance(self._answer(process), Ready)

    def _accepted(self, listener: socket.socket) -> Connection:
        while True:
            with suppress(TimeoutError):
                accepted, _ = listener.accept()
                accepted.setblocking(True)
                return Connection(accepted.detach())
            self._look()

    def tell(self, order: Order) -> None:
        """Raises TrialFailedError where one is gone."""
        self._told = time.monotonic()
        with self.guarding():
            for process in self._running:
                assert process.connection is not None
                send(process.connection, order)

    def random_states(self) -> list[RandomStates]:
        """Where their random streams are, by rank. Raises TrialFailedError where one is gone."""
        self.tell(SendRandom())
        with self.guarding():
            answers = [self._answer(process) for process in self._running]
        return [answer for answer in answers if isinstance(answer, RandomStates)]

    def _answer(self, process: Process) -> Answer:
        """What it says next. Raises TrialFailedError where it fails."""
        assert process.connection is not None
        while not process.connection.poll(LOOK_SECONDS):
            self._look()
        answer: Answer = receive(process.connection)
        if isinstance(answer, Failed):
            raise TrialFailedError(answer.reason)
        return answer

    def _look(self) -> None:
        """Raises TrialFailedError where one of them is gone."""
        for process in self._running:
            failure = process.failure()
            if failure is not None:
                raise failure

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Ends all where something is raised inside, and raises what is to blame for it.

        That is TrialFailedError where the task's code raised in another process, or
        ProcessKilledError where that was killed, or has not answered for `Setup.seconds`.
        """
        try:
            yield
        except (RuntimeError, OSError, EOFError) as error:  # torch.distributed's, or the socket's
            cause = self._cause()
            self.end()
            if cause is not None:
                raise cause from error
            raise
        except BaseException:
            self.end()
            raise

    def _cause(self) -> TrialFailedError | None:
        until = time.monotonic() + END_SECONDS
        while time.monotonic() < until:
            found = [failure for process in self._running if (failure := process.failure())]
            if found:
                return found[0]
            time.sleep(LOOK_SECONDS / 4)
        if self._told and time.monotonic() - self._told >= self.setup.seconds:
            return ProcessKilledError("a process of it does not answer")
        return None

    def end(self) -> None:
        """End them; the next trial starts new ones. Raises SupervisorError."""
        group.leave()
        for process in self._running:
            if process.connection is not None:
                process.connection.close()
        running, self._running, self._told = self._running, [], 0.0
        for process in running:
            process.child.end(GRACE_SECONDS)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def close(self) -> None:
        """End them, and what watches them."""
        self.end()
        if self._supervisor is not None:
            self._supervisor.close()
            self._supervisor = None


def processes_of(
    spec: StudySpec, loaded: LoadedTask, device: torch.device, folders: Sequence[Path]
) -> Processes | None:
    """Those of the study's trials, none of them started; None where a trial has one device.

    Raises DeviceError where this machine has fewer devices than a trial takes.
    """
    ranks = spec.devices_per_trial
    if ranks == 1:
        return None
    devices = [str(one) for one in devices_of_trial(device, ranks)]
    setup = Setup(
        spec=spec.to_dict(),
        code=dict(loaded.code),
        folders=tuple(folder.absolute() for folder in folders),
        device=devices[0],
        place=Place(rank=0, ranks=ranks),
        threads=torch.get_num_threads(),
        store=Path(),
        seconds=spec.lease.stall,
    )
    return Processes(setup, devices)


def _environment() -> dict[str, str]:
    """This process's own, in which Python finds the same modules."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
