"""Processes of their own that tests start, signal and wait for. They are forked from a server that
has imported torch and Optuna already; what they run is told everything, and inherits nothing of a
test's environment that the server had not."""

import os
import signal
import time

import psutil
import spares
from command import _be_lrsearch, in_process, no_spares

#: Nothing here takes a tenth of that on an idle machine, nor half on one that is loaded fourfold.
PATIENCE_SECONDS = 300


def finish(*processes):
    """Wait for processes; their exit codes, negative for a signal."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        assert process.exitcode is not None, f"{process} still runs after {PATIENCE_SECONDS} s"
    return [process.exitcode for process in processes]


def until(condition):
    """Wait until the function returns something true; return that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{condition} is not so after {PATIENCE_SECONDS} s"
        time.sleep(0.05)
    return found


class Command:
    """`lrsearch WORDS` in a folder, running.

    With `fresh_workers` those that it starts are new interpreters, as its arguments show them.
    """

    def __init__(self, *words, folder, fresh_workers=False, **environment):
        self.words = [str(word) for word in words]
        folder.mkdir(exist_ok=True)
        mark = f"{words[0]}-{time.monotonic_ns()}"
        self._output = tuple(folder.parent / f"{mark}.{kind}" for kind in ("out", "err"))
        arguments = (self.words, folder, self._output, environment, fresh_workers)
        self.process = in_process(_as_from_a_shell, *arguments)

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        return self.process.exitcode is None

    @property
    def out(self):
        path = self._output[0]
        return path.read_text() if path.exists() else ""  # it has not begun yet

    @property
    def err(self):
        return self._output[1].read_text()

    def signal(self, number):
        os.kill(self.pid, number)

    def children(self):
        """The worker processes of a running `lrsearch run`."""
        found = psutil.Process(self.pid).children()
        return [one for one in found if one.name() == spares.NAME or "worker" in one.cmdline()]

    def wait(self):
        """The exit code; negative for a signal."""
        return finish(self.process)[0]

    def succeed(self):
        """Wait; the command must end with 0. Its output."""
        code = self.wait()
        assert code == 0, f"lrsearch {' '.join(self.words)}: {code}\n{self.out}\n{self.err}"
        return self.out


def _as_from_a_shell(words, folder, output, environment, fresh_workers):
    # A server that was started in the background, as some CI does, ignores SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    begin = no_spares if fresh_workers else spares.prepare
    _be_lrsearch(words, folder, output, environment, begin)
