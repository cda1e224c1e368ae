"""The processes of this machine, and which of them descend from one."""

import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lrsearch.child_process.linux import LINUX


class Entry(NamedTuple):
    """A process."""

    pid: int
    parent: int
    group: int
    zombie: bool


def descendants(pid: int, group: int | None = None) -> list[int]:
    """Living processes that descend from `pid`, or are in the process group `group`.

    Without `/proc`, as on macOS, one whose parents have ended is found by its group alone.
    """
    entries = list(table())
    below: dict[int, list[int]] = defaultdict(list)
    for entry in entries:
        below[entry.parent].append(entry.pid)
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        new = [child for child in below[waiting.pop()] if child not in found]
        found.update(new)
        waiting += new
    return sorted(
        entry.pid
        for entry in entries
        if (entry.pid in found or entry.group == group) and not entry.zombie and entry.pid != pid
    )


def table() -> Iterator[Entry]:
    """Every process that this user may see."""
    if LINUX:
        for path in Path("/proc").iterdir():
            if path.name.isdigit() and (entry := _of_proc(path)) is not None:
                yield entry
    else:
        yield from table_of_ps()


def _of_proc(path: Path) -> Entry | None:
    try:
        text = (path / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has ended meanwhile
    # The second field is the name in parentheses, which may hold anything.
    state, parent, group = text.rpartition(")")[2].split()[:3]
    return Entry(int(path.name), int(parent), int(group), state in "ZX")


def table_of_ps() -> Iterator[Entry]:
    words = ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="]
    for line in subprocess.run(
        words, capture_output=True, text=True, check=True
    ).stdout.splitlines():
        pid, parent, group, state = line.split()[:4]
        yield Entry(int(pid), int(parent), int(group), state.startswith("Z"))
