"""The process that starts one child, adopts what it leaves behind, and ends all of it."""

import json
import os
import select
import signal
import time
from collections.abc import Iterable

from lrsearch.child_process import linux
from lrsearch.child_process.become import Call, become
from lrsearch.child_process.lines import ClosedError
from lrsearch.child_process.process_table import descendants
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
from lrsearch.child_process.signals import Signals
from lrsearch.child_process.warm import why_not_with

#: Between SIGTERM and SIGKILL where the worker or the supervisor is dead. Short: another worker may
#: take over the trial, whose folder is the same.
DEAD_WORKER_GRACE_SECONDS = 2.0
#: Processes that SIGKILL has not ended after so long hang in the kernel, and are given up.
KILL_SECONDS = 30.0
#: Between two looks for processes that were forked while others were killed.
KILL_AGAIN_SECONDS = 0.02
#: Sent to a watcher when its supervisor ends, or knows that the worker has.
ABANDONED = signal.SIGUSR1


class Watcher:
    """Lives in a fork of the supervisor, whose pid is `supervisor`.

    `cold` says why an entry is called in a new interpreter and not in a fork; None if it may be
    forked.
    """

    def __init__(self, line: Line, *, supervisor: int, cold: str | None) -> None:
        self._line = line
        self._supervisor = supervisor
        self._cold = cold
        self._signals = Signals((signal.SIGCHLD, ABANDONED))
        linux.adopt_orphans()
        linux.die_with(supervisor, ABANDONED)
        self._child = 0
        self._running = True
        self._empty = False
        #: When to kill, by the monotonic clock; None while nothing is to end.
        self._deadline: float | None = None
        self._rest_was_asked = False
        self._listening = True

    def run(self) -> Call | None:
        """Start the child and see it to its end. Returns a call in the forked child alone."""
        try:
            request = self._line.receive()
        except ClosedError:
            return None
        assert isinstance(request, Request)
        if request.entry is not None and self._cold is None:
            self._cold = why_not_with(request.env)
        here = os.getpid()
        failed, failing = os.pipe()
        try:
            self._child = os.fork()
        except OSError as error:
            self._tell(refusal(error))
            return None
        if self._child == 0:
            os.close(failed)
            return self._be_the_child(request, failing, here)
        os.close(failing)
        failure = os.read(failed, select.PIPE_BUF)
        os.close(failed)
        if failure:
            os.waitpid(self._child, 0)
            self._tell(Refused(**json.loads(failure)))
            return None
        cold = self._cold if request.entry is not None else None
        self._tell(Started(pid=self._child, cold=cold))
        self._watch()
        return None

    def _be_the_child(self, request: Request, failing: int, parent: int) -> Call:
        self._line.close()
        self._signals.close()
        try:
            call = become(request, parent=parent, fresh=self._cold is not None)
        except OSError as error:
            os.write(failing, json.dumps(vars(refusal(error))).encode())
            os._exit(127)
        os.close(failing)
        return call

    def _watch(self) -> None:
        while not self._empty:
            awaited: list[Line | Signals] = [self._signals]
            if self._listening:
                awaited.append(self._line)
            ready = select.select(awaited, [], [], self._patience())[0]
            if ABANDONED in self._signals.arrived():
                self._abandoned()
            if self._line in ready:
                self._hear()
            self._reap()
            if self._deadline is not None and not self._empty:
                self._end_what_is_left(self._deadline)
        self._tell(Gone(left=[]))

    def _patience(self) -> float | None:
        if self._deadline is None:
            return None
        return max(KILL_AGAIN_SECONDS, self._deadline - time.monotonic())

    def _abandoned(self) -> None:
        if os.getppid() != self._supervisor:
            self._tell(Orphaned())
        self._ask_to_end(DEAD_WORKER_GRACE_SECONDS)

    def _hear(self) -> None:
        try:
            message = self._line.receive()
        except ClosedError:
            self._listening = False
            self._ask_to_end(DEAD_WORKER_GRACE_SECONDS)
            return
        if isinstance(message, End):
            self._ask_to_end(message.grace)

    def _tell(self, message: Message) -> None:
        try:
            self._line.send(message)
        except ClosedError:
            self._listening = False  # nobody is left to tell

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                # Descendants become children of this process, so that there are none either.
                self._empty = linux.LINUX or not self._left()
                return
            if pid == 0:
                return
            if pid == self._child:
                self._running = False
                self._tell(Exited(status=os.waitstatus_to_exitcode(status)))

    def _left(self) -> list[int]:
        return descendants(os.getpid(), group=self._child)

    def _ask_to_end(self, grace: float) -> None:
        deadline = time.monotonic() + grace
        self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)
        if self._running:
            # A stopped process hears SIGTERM once it goes on.
            for number in (signal.SIGTERM, signal.SIGCONT):
                send_signal([-self._child], number)

    def _end_what_is_left(self, deadline: float) -> None:
        if not self._running and not self._rest_was_asked:
            self._rest_was_asked = True
            send_signal(self._left(), signal.SIGTERM)
            send_signal(self._left(), signal.SIGCONT)
        overdue = time.monotonic() - deadline
        if overdue >= 0:
            send_signal(self._left(), signal.SIGKILL)
        if overdue > KILL_SECONDS:
            self._tell(Gone(left=self._left()))
            os._exit(1)


def refusal(error: OSError) -> Refused:
    """What the worker raises again."""
    path = None if error.filename is None else os.fsdecode(error.filename)
    return Refused(errno=error.errno or 0, text=error.strerror or str(error), path=path)


def send_signal(pids: Iterable[int], number: signal.Signals) -> None:
    """To each that still lives; a negative pid is a process group."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue  # it has ended meanwhile, or is another user's by now
