"""The database: whether it answers, how quickly, and whether trials can be written."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from lrsearch.child_process.folders import FOLDER
from lrsearch.doctor.findings import Finding, note, ok, problem
from lrsearch.errors import StorageError
from lrsearch.private_files import readable_by_others
from lrsearch.storage.checkpoint_store import DEFAULT_FOLDER
from lrsearch.storage.database import Database
from lrsearch.storage.health import Health, health
from lrsearch.storage.location import locate
from lrsearch.storage.schema import HEAD

AREA = "storage"
#: A trial's transactions take some ten reads each, several times a validation.
SLOW_SECONDS = 0.1
#: How long another process may hold the write lock before it is a finding.
BUSY_SECONDS = 5.0
#: Leases end by the database's clock, and log lines have this machine's.
CLOCK_SECONDS = 5.0
#: Where SQLite's locks are not kept (sqlite.org/lockingv3.html, "network filesystems").
NETWORK_FILES = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "lustre", "ceph", "glusterfs")


def storage(option: str | None) -> Iterator[Finding]:
    """The database that `--storage`, the environment or a file names, and the clocks."""
    try:
        database = Database(locate(option), busy_seconds=BUSY_SECONDS)
    except StorageError as error:
        yield problem(AREA, str(error), "docs/reference/commands.md says where it is named")
        return
    try:
        yield from _database(database)
    except StorageError as error:
        yield problem(AREA, str(error), "start it, or name another one with --storage")
    finally:
        database.close()


def _database(database: Database) -> Iterator[Finding]:
    path = database.path
    yield from _openness(path)
    if path is not None:
        yield from _folder(path)
        if not path.exists():
            yield ok(AREA, f"{database.location}: not there yet; `lrsearch run FILE` makes it")
            return
    found = health(database)
    yield _schema(database, found)
    if not found.writable:
        advice = "end what holds it, or ask for the right to write; reports still work"
        yield problem(AREA, "trials cannot be written to it", advice)
    yield _speed(found)
    yield _clock(found)


def _openness(path: Path | None) -> Iterator[Finding]:
    """What was made before lrsearch made it private, or was opened since."""
    ours = [Path(DEFAULT_FOLDER), Path(FOLDER)]
    opened = [each for each in (path, *ours) if each is not None and readable_by_others(each)]
    if opened:
        names = " ".join(shlex.quote(str(each)) for each in opened)
        advice = f"chmod -R go= {names}, unless that is wished"
        yield note(AREA, f"other users may read {names}", advice)


def _folder(path: Path) -> Iterator[Finding]:
    """Where an SQLite file is, or will be."""
    folder = path.parent
    if not folder.is_dir():
        yield problem(AREA, f"the folder {folder} does not exist", f"mkdir -p {folder}")
    elif not os.access(folder, os.W_OK):
        advice = "SQLite writes files beside its own; name a folder of yours with --storage"
        yield problem(AREA, f"the folder {folder} cannot be written", advice)
    kind = kind_of_files(folder)
    if kind in NETWORK_FILES:
        advice = "keep it on a local disk, or use PostgreSQL"
        yield note(AREA, f"{folder} is a network drive ({kind}), whose locks SQLite loses", advice)


def kind_of_files(folder: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The kind of file system that holds a folder; None where the system does not say."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    fields = [line.split(" ") for line in lines]
    at = {Path(field[1].replace("\\040", " ")): field[2] for field in fields if len(field) > 2}
    place = folder.resolve()
    return next((at[above] for above in (place, *place.parents) if above in at), None)


def _schema(database: Database, found: Health) -> Finding:
    where = str(database.location)
    if found.revision is None:
        return ok(AREA, f"{where}: it answers, and has no studies yet")
    if found.studies is None:
        text = f"{where}: schema {found.revision}, made by an older version; this one has {HEAD}"
        return problem(AREA, text, "lrsearch db upgrade")
    studies = f"{found.studies} stud{'y' if found.studies == 1 else 'ies'}"
    return ok(AREA, f"{where}: schema {found.revision}, {studies}")


def _speed(found: Health) -> Finding:
    text = f"it answers in {found.read_seconds * 1000:.2g} ms"
    if found.read_seconds > SLOW_SECONDS:
        return note(AREA, text, "trials of seconds will wait for it; move it nearer")
    return ok(AREA, text)


def _clock(found: Health) -> Finding:
    off = found.clock_difference
    if abs(off) > CLOCK_SECONDS:
        text = f"the database's clock is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}"
        return note("clock", text, "set both by NTP, so that logs can be compared")
    return ok("clock", f"agrees with the database's to {max(abs(off), 0.01):.2f} s")
