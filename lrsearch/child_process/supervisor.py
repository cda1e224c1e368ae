"""A worker's handle on the processes that it starts and ends."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lrsearch.child_process.closing import Closing
from lrsearch.child_process.lines import ClosedError
from lrsearch.child_process.protocol import (
    End,
    Exited,
    Gone,
    Line,
    Message,
    Orphaned,
    Refused,
    Request,
    Started,
)
from lrsearch.child_process.watcher import DEAD_WORKER_GRACE_SECONDS, KILL_SECONDS
from lrsearch.errors import LrsearchError

#: What a watcher may need, beyond what it promises, to answer on a busy machine.
PATIENCE_SECONDS = 30.0
LAST_WORDS_BYTES = 1 << 16
ADVICE = "look for who killed it (the kernel, out of memory?) and start the worker again"


class SupervisorError(LrsearchError):
    """A helper process that starts and ends trials is dead, or cannot end one."""


class Child:
    """A process with a session of its own, and whatever it has started itself.

    Whoever started it calls `end`, also after it has ended by itself: what it left behind runs on
    until then.
    """

    def __init__(self, line: Line, pid: int, cold: str | None) -> None:
        self._line = line
        self.pid = pid
        #: Why it is a new interpreter though a fork was asked for; None if it is no such case.
        self.cold = cold
        self._status: int | None = None
        self._gone: Gone | None = None
        #: Why nothing is known of it any more.
        self._lost: str | None = None

    def fileno(self) -> int:
        """Readable when `poll` may have something new."""
        return self._line.fileno()

    def poll(self) -> int | None:
        """What `wait` returns, without waiting. Raises SupervisorError."""
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status once it has ended; None if it runs on after so many seconds.

        None as `timeout` waits however long. Raises SupervisorError.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._status is None:
            if self._lost is not None:
                raise SupervisorError(self._lost)
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._hear(left):
                return None
        return self._status

    def end(self, grace: float) -> None:
        """End it and everything it has started; returns when none of it is left.

        SIGTERM to its process group, and once it has ended itself to what else it started; SIGKILL
        to all that is left after `grace` seconds. Raises SupervisorError.
        """
        if self._gone is None:
            # A watcher that has ended by itself left a last word, which is read below.
            with contextlib.suppress(ClosedError):
                self._line.send(End(grace=grace))
        deadline = time.monotonic() + grace + KILL_SECONDS + PATIENCE_SECONDS
        while self._gone is None:
            if not self._hear(max(0.0, deadline - time.monotonic())):
                raise SupervisorError(
                    f"trial process {self.pid} was not ended in time: the process that watches it"
                    " hangs; end both and start the worker again"
                )
        self.close()
        if left := self._gone.left:
            raise SupervisorError(
                f"processes {', '.join(map(str, left))} do not end, not even by SIGKILL: they hang"
                " in the kernel (state D in ps); look for a device or network disk that does not"
                " answer"
            )

    @property
    def ended(self) -> bool:
        """Whether nothing is left of it, as far as `end` or `wait` have heard."""
        return self._gone is not None

    def close(self) -> None:
        """Let go of it; if it still runs, that ends it after a short grace."""
        self._line.close()

    def _hear(self, timeout: float | None) -> bool:
        """Whether a message came. Raises SupervisorError where there will be none."""
        try:
            message = self._line.receive(timeout)
        except ClosedError as error:
            self._lost = (
                f"the process that watches trial process {self.pid} is dead, and the trial with it:"
                f" {ADVICE}"
            )
            raise SupervisorError(self._lost) from error
        if isinstance(message, Orphaned):
            self._lost = f"the process that starts trials was killed: {ADVICE}"
        elif isinstance(message, Exited):
            self._status = message.status
        elif isinstance(message, Gone):
            self._gone = message
        return message is not None


class Supervisor(Closing):
    """Starts children that end when this process does, also by SIGKILL. One per worker.

    A context manager. It is a process of its own that imports `warm` once (names as
    `pkgutil.resolve_name` takes them, see `warm_modules`), in the environment `env` (default: this
    process's). On Linux nothing that a child starts escapes, a daemon neither; elsewhere what
    leaves the child's process group and has lost its parent does.
    """

    def __init__(self, *, warm: Sequence[str] = (), env: Mapping[str, str] | None = None) -> None:
        self._control, theirs = socket.socketpair()
        # What the supervisor prints as it dies.
        self._errors, name = tempfile.mkstemp()
        Path(name).unlink()
        paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path)
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "lrsearch.child_process.serve"),
                    *(str(theirs.fileno()), str(os.getpid()), *warm),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={**(os.environ if env is None else env), "PYTHONPATH": paths},
            )
        self._children: list[Child] = []

    @property
    def pid(self) -> int:
        """Of the supervisor's process."""
        return self._process.pid

    def start(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: Path
    ) -> Child:
        """Start a program. Its standard output and error are appended to the file `output`.

        Raises OSError, with its `filename`, where program, folder or output cannot be used, and
        SupervisorError.
        """
        return self._start(_request(argv, env, cwd, output, None))

    def fork(
        self, entry: str, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: Path
    ) -> Child:
        """Call `package.module:function` with `argv` in a fork of the warm process.

        What it returns or its SystemExit is the status; it ends as an interpreter does. Where a
        fork would not be sound (see `warm`) the child is a new interpreter, and `Child.cold` says
        why. Raises as `start` does.
        """
        return self._start(_request(argv, env, cwd, output, entry))

    def close(self) -> None:
        """End every child within a short grace, and the supervisor. Raises SupervisorError."""
        for child in self._children:
            child.close()
        with contextlib.suppress(OSError):  # where it is dead already
            self._control.send(b".")
        try:
            self._process.wait(DEAD_WORKER_GRACE_SECONDS + KILL_SECONDS + PATIENCE_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise SupervisorError(
                f"the process that ends trials ({self.pid}) does not end: end it and its children"
            ) from error
        finally:
            self._control.close()
            os.close(self._errors)

    def _start(self, request: Request) -> Child:
        ours, theirs = socket.socketpair()
        line = Line(ours)
        try:
            with theirs:
                socket.send_fds(self._control, [b"+"], [theirs.fileno()])
            line.send(request)
            message: Message | None = line.receive()
        except (OSError, ClosedError) as error:
            line.close()
            raise SupervisorError(self._why_dead()) from error
        if isinstance(message, Started):
            child = Child(line, message.pid, message.cold)
            self._children = [*(one for one in self._children if not one.ended), child]
            return child
        line.close()
        assert isinstance(message, Refused)
        raise OSError(message.errno, message.text, message.path)

    def _why_dead(self) -> str:
        """Also where it has never begun: its last words are an error then."""
        try:
            status = self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            return f"the watcher of a trial process was killed as it started: {ADVICE}"
        if status < 0:
            name = signal.Signals(-status).name
            return f"the process that starts trials ({self.pid}) was ended by {name}: {ADVICE}"
        printed = os.pread(self._errors, LAST_WORDS_BYTES, 0).decode(errors="replace")
        lines = printed.splitlines() or ["it printed no error"]
        return f"the process that starts trials ({self.pid}) ended: {lines[-1]}"


def _request(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path, output: Path, entry: str | None
) -> Request:
    return Request(
        argv=list(argv), env=dict(env), cwd=str(cwd), output=str(output.absolute()), entry=entry
    )
