"""A training script of the user's own as a process: started, spoken with, and ended."""

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrsearch.child_process.lines import ClosedError
from lrsearch.child_process.supervisor import Child, Supervisor
from lrsearch.own_loop.channel import SOCKET, Channel, Listener
from lrsearch.own_loop.messages import End, Hello, Message, Start
from lrsearch.private_files import make_private_folder
from lrsearch.task.code import ENVIRONMENT_DIR
from lrsearch.training.failures import TrialFailedError
from lrsearch.worker.user_process.ended import ended_badly
from lrsearch.worker.user_process.environment import environment_without_secrets

log = logging.getLogger("lrsearch")

#: How long a child may take to import its libraries until it connects.
CONNECT_SECONDS = 300.0
#: How often it is looked at meanwhile.
LOOK_SECONDS = 0.2
#: The function that a fork of the warm process calls.
ENTRY = "lrsearch.own_loop.child:main"


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How a script is started."""

    #: As in the study file.
    reference: str
    #: The folder that the reference is relative to.
    script_dir: Path
    #: What starts it in place of Python, such as torchrun.
    launcher: Sequence[str] = ()
    #: What the script finds in `sys.argv` after its own name.
    arguments: Sequence[str] = ()
    #: Seconds between SIGTERM and SIGKILL.
    grace: float = 10.0


class ScriptProcess:
    """One run of a script, from its start to its end. Its output is added to a file."""

    def __init__(self, supervisor: Supervisor, launch: Launch, start: Start, output: Path) -> None:
        self.launch, self.output = launch, output
        make_private_folder(output.parent)
        self._listener = Listener()
        self._channel: Channel | None = None
        self._start = start
        environment = environment_without_secrets() | {
            SOCKET: self._listener.path,
            ENVIRONMENT_DIR: str(launch.script_dir),
            "PYTHONUNBUFFERED": "1",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        }
        words = [launch.reference, *launch.arguments]
        if launch.launcher:
            # torchrun's default port would be that of every worker on this machine.
            environment.setdefault("PET_MASTER_PORT", str(_free_port()))
            words = [*launch.launcher, "-m", "lrsearch.own_loop.child", *words]
            self._child: Child = supervisor.start(
                words, env=environment, cwd=Path.cwd(), output=output
            )
        else:
            self._child = supervisor.fork(
                ENTRY, words, env=environment, cwd=Path.cwd(), output=output
            )
            if self._child.cold is not None:
                log.info("a trial starts as a new interpreter, in seconds: %s", self._child.cold)

    def connect(self, beat: Callable[[], None], stop: Callable[[], bool]) -> bool:
        """Wait until it has connected, and tell it what to train; False if `stop` says so.

        Raises TrialFailedError if it ends before, or does not connect.
        """
        deadline = time.monotonic() + CONNECT_SECONDS
        while self._channel is None:
            self._channel = self._listener.accept(LOOK_SECONDS)
            beat()
            if stop():
                return False
            if self._channel is None and self._child.poll() is not None:
                raise self.failure()
            if time.monotonic() > deadline:
                raise TrialFailedError(f"the script has not begun within {CONNECT_SECONDS:.0f} s")
        hello = self.receive(CONNECT_SECONDS)
        if not isinstance(hello, Hello):
            raise TrialFailedError(f"the script's process said {hello!r} before Hello")
        self.send(self._start)
        return True

    def send(self, message: Message) -> None:
        """Raises TrialFailedError where the script's process has ended."""
        assert self._channel is not None
        try:
            self._channel.send(message)
        except ClosedError as error:
            raise self.failure() from error

    def receive(self, timeout: float) -> Message | None:
        """The next message; None if none came in so many seconds.

        Raises TrialFailedError where the script's process has ended without a word.
        """
        assert self._channel is not None
        try:
            return self._channel.receive(timeout)
        except ClosedError as error:
            raise self.failure() from error

    def failure(self) -> TrialFailedError:
        """How the process ended, and the last line that it printed. Raises SupervisorError."""
        return ended_badly("the script", self._child.wait(self.launch.grace), self.output)

    def end(self, reason: str | None) -> None:
        """End it: `run` raises `Ended` in it; after the grace its process group is ended.

        Without a reason it has come to its end by itself.
        """
        deadline = time.monotonic() + self.launch.grace
        if reason is not None and self._channel is not None:
            try:
                self._channel.send(End(reason=reason))
                self._drain(deadline)
            except ClosedError:
                log.debug("the script's process had ended before it was told to")
        if reason is None or self._channel is not None:
            self._child.wait(max(0.0, deadline - time.monotonic()))
        self._child.end(self.launch.grace)
        self.close()

    def _drain(self, deadline: float) -> None:
        """Read what it still says, so that it never waits for a full socket."""
        assert self._channel is not None
        while self._child.poll() is None and time.monotonic() < deadline:
            self._channel.receive(LOOK_SECONDS / 4)

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._listener.close()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port: int = free.getsockname()[1]
        return port
