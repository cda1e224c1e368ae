"""Workers of `lrsearch run` that are forked before the command begins, and wait to be started.

A fresh worker imports torch and Optuna, which takes 5 s of processor time. One of these has them
imported, and is otherwise as fresh: a child of the command that has run nothing of it. Signals,
exit code and output are those of the process that `subprocess.Popen` would have started.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import warm_supervisors

#: What a worker is called in the table of processes, once it works.
NAME = "worker"
#: Commands that start workers.
STARTING = ("run", "confirm")


def prepare(words):
    """Fork as many as the command that these words are will start, for `LocalWorkers` to take."""
    if not set(words[1:2]) & set(STARTING):
        return
    count = int(words[words.index("--workers") + 1]) if "--workers" in words else 2
    spares = []
    for _ in range(count):
        ours, theirs = socket.socketpair()
        if (pid := os.fork()) == 0:
            for _, other in spares:
                other.close()
            ours.close()
            _wait_and_work(theirs)
        theirs.close()
        spares.append((pid, ours))

    def start(command, **how):
        # A worker beyond them is a new interpreter, which takes longer.
        return (
            Started(*spares.pop(0), command, **how) if spares else subprocess.Popen(command, **how)
        )

    from lrsearch.worker import local_workers

    local_workers.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": start})


class Started(subprocess.Popen):
    """A spare that has been told what to do."""

    def __init__(self, pid, line, command, *, env, stdout, stderr, start_new_session):
        assert command[:3] == [sys.executable, "-m", "lrsearch"], command
        assert (stdout, start_new_session) == (subprocess.DEVNULL, True)
        self.args, self.pid, self.returncode = command, pid, None
        self.stdin = self.stdout = self.stderr = None
        self._child_created, self._waitpid_lock = True, threading.Lock()
        errors = sys.stderr if stderr is None else stderr
        with line:
            socket.send_fds(line, [b"."], [errors.fileno()])
            told = [["lrsearch", *command[3:]], dict(env), str(Path.cwd())]
            line.sendall(json.dumps(told).encode())


def _wait_and_work(line):
    """Never returns."""
    _, descriptors, _, _ = socket.recv_fds(line, 1, 1)
    if not descriptors:
        os._exit(0)  # the command started no such worker
    with line.makefile("rb") as told:
        words, environment, folder = json.load(told)
    os.chdir(folder)
    work(words, environment, errors=descriptors[0])


def work(words, environment, *, errors):
    """Be the `lrsearch` of these words, as `LocalWorkers` starts it. Never returns."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(errors, 2)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", closefd=False) for n in (1, 2))
    os.environ.clear()
    os.environ.update(environment)
    Path("/proc/self/comm").write_text(NAME)
    sys.argv = words
    warm_supervisors.prepare(1)
    code = 1
    try:
        from lrsearch.cli import main

        main()
        code = 0
    except SystemExit as ending:
        code = ending.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    warm_supervisors.leave(code)
