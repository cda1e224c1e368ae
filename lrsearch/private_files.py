"""Files and folders that only this user may read and write, whatever the umask is."""

import os
from contextlib import suppress
from pathlib import Path

#: Modes of what is made: of a file, and of a folder.
FILE, FOLDER = 0o600, 0o700


def private(path: str, flags: int) -> int:
    """An opener for `open()`: a file that is new is private, another one stays as it is."""
    return os.open(path, flags, FILE)


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing; one that is there stays as it is.

    Raises OSError, as `Path.mkdir` does.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_private_folder(folder.parent)
    folder.mkdir(FOLDER, exist_ok=True)


def make_private_file(path: Path) -> None:
    """Make an empty file where there is none. What keeps it from being made is for its user."""
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE))


def readable_by_others(path: Path) -> bool:
    """Whether another user may read or write it; False of what is not there."""
    try:
        return bool(path.stat().st_mode & 0o077)
    except OSError:
        return False
