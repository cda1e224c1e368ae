"""Disk, limits of the system, and whether the shell completes."""

import os
import resource
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from lrsearch.doctor.findings import Finding, in_units, note, ok, problem
from lrsearch.errors import StorageError
from lrsearch.storage.checkpoint_store import DEFAULT_FOLDER
from lrsearch.storage.database import Database
from lrsearch.storage.location import locate

#: A trial keeps one or two checkpoints: model and optimizer, thrice the weights or so.
LITTLE_BYTES, HARDLY_ANY_BYTES = 5 * 2**30, 200 * 2**20
#: DataLoader workers hand batches over through files.
FEW_FILES = 1024
#: Docker's default is 64 MiB; batches of DataLoader workers lie there.
LITTLE_SHARED_BYTES = 256 * 2**20

#: The file that a shell reads at its start, and the line that it needs there.
COMPLETIONS: Mapping[str, tuple[str, str]] = {
    "bash": (".bashrc", 'eval "$(_LRSEARCH_COMPLETE=bash_source lrsearch)"'),
    "zsh": (".zshrc", 'eval "$(_LRSEARCH_COMPLETE=zsh_source lrsearch)"'),
    "fish": (
        ".config/fish/completions/lrsearch.fish",
        "_LRSEARCH_COMPLETE=fish_source lrsearch | source",
    ),
}


def disk(option: str | None) -> Iterator[Finding]:
    """Room for checkpoints in the current folder, and for an SQLite file."""
    places = {f"checkpoints (./{DEFAULT_FOLDER})": Path.cwd()}
    try:
        database = Database(locate(option))
    except StorageError:
        pass  # said under storage
    else:
        if database.path is not None and database.path.parent.is_dir():
            places["database"] = database.path.parent
        database.close()
    for what, folder in places.items():
        yield _room(what, folder)


def _room(what: str, folder: Path, area: str = "disk") -> Finding:
    if not os.access(folder, os.W_OK):
        return problem(area, f"{what}: {folder} cannot be written", "work in a folder of yours")
    free = shutil.disk_usage(folder).free
    text = f"{what}: {in_units(free)} free"
    if free < HARDLY_ANY_BYTES:
        return problem(area, text, f"make room on the disk of {folder}")
    if free < LITTLE_BYTES:
        return note(area, text, "a trial keeps up to two checkpoints; large models need more")
    return ok(area, text)


def limits(shared: Path = Path("/dev/shm")) -> Iterator[Finding]:
    """Open files, and shared memory where the system has a folder for it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{'any number of' if soft == resource.RLIM_INFINITY else soft} open files"
    if soft != resource.RLIM_INFINITY and soft < FEW_FILES:
        more = FEW_FILES if hard == resource.RLIM_INFINITY else min(hard, FEW_FILES)
        advice = f"ulimit -n {more}, if DataLoader workers fail with `Too many open files`"
        yield note("limits", text, advice)
    else:
        yield ok("limits", text)
    if shared.is_dir():
        total = shutil.disk_usage(shared).total
        text = f"{in_units(total)} of shared memory ({shared})"
        if total < LITTLE_SHARED_BYTES:
            advice = "DataLoader workers need more: docker run --shm-size 2g, or num_workers=0"
            yield note("limits", text, advice)
        else:
            yield ok("limits", text)


def completion(environment: Mapping[str, str], home: Path) -> Iterator[Finding]:
    """Whether the user's shell completes our words; nothing is said of shells that cannot."""
    shell = Path(environment.get("SHELL", "")).name
    if shell not in COMPLETIONS:
        return
    name, line = COMPLETIONS[shell]
    file = home / name
    try:
        there = "_LRSEARCH_COMPLETE" in file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        there = False
    if there:
        yield ok("shell", f"{shell} completes lrsearch's words ({file})")
    else:
        advice = f"add to ~/{name}: {line}"
        yield note("shell", f"{shell} does not complete lrsearch's words", advice)
