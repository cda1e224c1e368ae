"""Supervisors of training scripts that are forked before a command begins, and wait to be started.

A fresh one imports torch, which takes 4 s of processor time. One of these has it imported, and is
otherwise as `python -m lrsearch.child_process.serve`, which tests/child_process starts as it is.
"""

import atexit
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

#: A study file that names a training script, whose process imports torch.
SCRIPT = re.compile(rb'^\W*train"?:', re.MULTILINE)
SERVE = [sys.executable, "-P", "-m", "lrsearch.child_process.serve"]


def prepare(count):
    """Fork so many for the `Supervisor`s of this process, if a study file here names a script."""
    files = [path for path in Path.cwd().glob("*.yaml") if path.is_file()]
    if any(SCRIPT.search(path.read_bytes()) for path in files if os.access(path, os.R_OK)):
        keep(count)


def keep(count):
    """Fork so many, whatever files are here."""
    parent, waiting = os.getpid(), []
    for _ in range(count):
        ours, theirs = socket.socketpair()
        if (pid := os.fork()) == 0:
            _wait_and_serve(theirs, parent)
        theirs.close()
        waiting.append((pid, ours))

    def start(command, **how):
        # A supervisor beyond them is a new interpreter, which takes longer.
        if command[:4] == SERVE and waiting and os.getpid() == parent:
            return Started(*waiting.pop(0), command, **how)
        return subprocess.Popen(command, **how)

    from lrsearch.child_process import supervisor

    supervisor.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": start})


class Started(subprocess.Popen):
    """A spare that has been told what to do."""

    def __init__(
        self, pid, line, command, *, env, stdin, stdout, stderr, pass_fds, start_new_session
    ):
        assert stdin == stdout == subprocess.DEVNULL
        assert start_new_session
        self.args, self.pid, self.returncode = command, pid, None
        self.stdin = self.stdout = self.stderr = None
        self._child_created, self._waitpid_lock = True, threading.Lock()
        with line:
            socket.send_fds(line, [b"."], [*pass_fds, stderr])
            line.sendall(json.dumps([command[5:], env, str(Path.cwd())]).encode() + b"\n")


def _wait_and_serve(line, parent):
    """Never returns."""
    from lrsearch.child_process import become, linux, serve, warm

    linux.die_with(parent, signal.SIGKILL)
    os.chdir("/")  # tests look for what is left running in a study's folder
    _, descriptors, _, _ = socket.recv_fds(line, 1, 2)
    if not descriptors:
        os._exit(0)
    with line, line.makefile("rb") as told:
        arguments, environment, folder = json.loads(told.readline())
    linux.die_with(parent, 0)  # from now on it says itself when it ends
    os.setsid()
    os.chdir(folder)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number, descriptor in enumerate((nothing, nothing, descriptors[1])):
        os.dup2(descriptor, number)
    os.environ.clear()
    os.environ.update(environment)
    warm._AT_START = environment
    sys.argv = [serve.__file__, str(descriptors[0]), *arguments]
    _hide_helpers()
    code = 1
    try:
        child = serve.main(sys.argv[1:])
        if child is not None:
            become.call(child.entry, child.argv)
        code = 0
    except SystemExit as ending:
        code = ending.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    leave(code)


def _hide_helpers():
    """Frames of tests' helpers lie below a script's, which looks for the user's among all."""
    from lrsearch.own_loop import frames

    files = tuple(map(str, Path(__file__).parent.glob("*.py")))
    frames._INSTALLED = (*frames._INSTALLED, *files)


def leave(code):
    """End this fork as an interpreter ends. Never returns."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
