"""A folder for the database and the checkpoints of a search that nobody named."""

import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

#: Folders that outlive their search, because it did not end: until this process does.
_kept: list["TemporaryPlace"] = []


class TemporaryPlace:
    """A new folder, removed when this value is garbage-collected, at the latest at exit.

    A process that was forked from this one leaves it alone. `beside` is the folder of the study's
    trials, which goes with it, and with the last one the folder that it is in.
    """

    def __init__(self, beside: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lrsearch-search-"))
        self.remove = weakref.finalize(
            self, _remove, self.folder, beside.absolute(), owner=os.getpid()
        )

    @property
    def database(self) -> Path:
        """The file of its database, whether there already or not."""
        return self.folder / "lrsearch.db"

    @property
    def storage(self) -> str:
        """The URL of its database."""
        return f"sqlite:///{self.database}"

    @property
    def checkpoints(self) -> str:
        return str(self.folder / "checkpoints")

    def keep(self) -> None:
        """Let the folder live until this process ends."""
        _kept.append(self)


def _remove(folder: Path, beside: Path, *, owner: int) -> None:
    if os.getpid() != owner:
        return
    for path in (folder, beside):
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):  # not empty, or never made
        beside.parent.rmdir()
