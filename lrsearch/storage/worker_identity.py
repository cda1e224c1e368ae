"""Who a worker is, and whether one of this machine still lives."""

import os
import re
import socket
from pathlib import Path

from lrsearch.storage.column_types import one_line

_NAME = re.compile(r"(?P<host>.+):(?P<pid>[1-9][0-9]{0,8}):(?P<started>[0-9]*)")


def _host() -> str:
    """This machine, or this container of it: process ids mean something inside it only."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        namespace = ""
    try:
        # Copies of one machine have the same names; not the same start.
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        boot = ""
    return f"{socket.gethostname()}/{namespace}/{boot}"


def _started(pid: int) -> str:
    """When a process began, in ticks since boot: tells it from a later one with the same id."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def identity(pid: int | None = None) -> str:
    """A process of this machine, by default this one, as it signs its claims.

    That is its host, process id and start time.
    """
    pid = os.getpid() if pid is None else pid
    return f"{_host()}:{pid}:{_started(pid)}"


def is_dead(worker: str) -> bool:
    """Whether a worker of this machine is gone. One of another machine is never said to be.

    Nor is a name that `identity` would not have made: it is a row that somebody else wrote.
    """
    found = _NAME.fullmatch(worker)
    if found is None or found["host"] != _host():
        return False
    pid, started = int(found["pid"]), found["started"]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _started(pid) != started


def place(worker: str) -> tuple[str, int | None]:
    """Host name and process id of a worker's name, for people."""
    found = _NAME.fullmatch(worker)
    host = worker if found is None else found["host"]
    return one_line(host.split("/")[0]), None if found is None else int(found["pid"])
