"""One fork server for all processes that run tests. Each would start its own otherwise, whose
imports take 6 s of processor time. It has the environment of no test."""

import fcntl
import json
import os
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path

#: Where a server is found by the processes of one run of the tests; None: each has its own.
folder = None
#: Of a server, whichever test starts it.
environment = {**os.environ}
#: The longest path that a socket may have, on Linux.
LONGEST = 107


def ensure_running():
    """See that there is a server to fork from: join that of another process, else start one."""
    if folder is None or len(str(_socket())) > LONGEST:
        _start()
    elif forkserver._forkserver._forkserver_address is None:
        with (folder / "fork-server.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _join():
                _start()
                _offer()


def _start():
    # Where the server finds tests/forked.py: it is not told this process's path (CPython 3.11).
    paths = [str(Path(__file__).parent), *filter(None, [environment.get("PYTHONPATH")])]
    with _environment({**environment, "PYTHONPATH": os.pathsep.join(paths)}):
        forkserver._forkserver.ensure_running()


@contextmanager
def _environment(wanted):
    before = {**os.environ}
    _become(wanted)
    try:
        yield
    finally:
        _become(before)


def _become(wanted):
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)


def _socket():
    return folder / "fork-server"


def _offer():
    """Tell others where the server of this process is, and of the pipe that keeps it alive."""
    server = forkserver._forkserver
    alive = f"/proc/{os.getpid()}/fd/{server._forkserver_alive_fd}"
    _socket().unlink(missing_ok=True)
    # This process removes the first name as it ends, and others may still run.
    _socket().hardlink_to(server._forkserver_address)
    told = json.dumps([alive, str(Path(alive).readlink())])
    _socket().with_suffix(".json").write_text(told)


def _join():
    """Whether another process has offered a server that still lives: it is this process's too."""
    try:
        alive, pipe = json.loads(_socket().with_suffix(".json").read_text())
        if str(Path(alive).readlink()) != pipe:
            return False
        # The server ends once no process holds the pipe.
        descriptor = os.open(alive, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    server = forkserver._forkserver
    server._forkserver_address, server._forkserver_alive_fd = str(_socket()), descriptor
    server.ensure_running = lambda: None  # it looks for a child of this process
    return True
