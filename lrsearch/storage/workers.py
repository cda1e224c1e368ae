"""Who a worker is, and whether one of this machine still lives."""

import os
import socket
from pathlib import Path


def _host() -> str:
    """This machine, or this container of it: process ids mean something inside it only."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{namespace}"


def _started(pid: int) -> str:
    """When a process began, in ticks since boot: tells it from a later one with the same id."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def identity() -> str:
    """This process as it signs its claims: host, process id, start time."""
    pid = os.getpid()
    return f"{_host()}:{pid}:{_started(pid)}"


def is_dead(worker: str) -> bool:
    """Whether a worker of this machine is gone. One of another machine is never said to be."""
    host, pid, started = worker.rsplit(":", 2)
    if host != _host():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _started(int(pid)) != started
