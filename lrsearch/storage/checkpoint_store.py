"""Where checkpoints lie: a folder, or a bucket behind an fsspec URL."""

import errno
import hashlib
import logging
import os
import re
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from lrsearch.errors import SpecError, describe
from lrsearch.private_files import make_private_folder, private

log = logging.getLogger("lrsearch")

#: Below the worker's current folder.
DEFAULT_FOLDER = "lrsearch-checkpoints"
#: What we name a file, and the start of it that says whose it is. A name from the database that is
#: another one leads out of our folder, or to somebody else's file.
_NAME = re.compile(r"[a-z-]+-\d+-\d+-[0-9a-f]{16}\.pt")
_OWNER = re.compile(r"([a-z-]+)-(\d+)-\d+-[0-9a-f]{16}\.pt(\.\d+\.tmp)?")


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A checkpoint as the database knows it."""

    #: Its name in the study's folder.
    file: str
    #: Where the trial stood, in optimizer steps.
    step: int
    sha256: str
    bytes: int


class CheckpointStore:
    """The checkpoints of one study. What a file is worth is said by its SHA-256 alone.

    Raises SpecError if `where` (a folder, or a URL such as `s3://bucket/folder`; None:
    `./lrsearch-checkpoints`) cannot be used from here, and says which package is missing.
    """

    def __init__(self, where: str | None, study: str) -> None:
        self.where = where or DEFAULT_FOLDER
        self._files, root = _open(self.where)
        self._folder = f"{root.rstrip('/')}/{study}"
        self._is_local = isinstance(self._files, LocalFileSystem)
        self._is_ours = where is None

    def write(self, kind: str, item: int, step: int, data: bytes) -> Saved:
        """Keep `data`. Raises whatever the file system does: a full disk, a bucket that is gone."""
        sha256 = hashlib.sha256(data).hexdigest()
        # By its content: two that write at once, of whom one lost its lease, write two files.
        file = f"{kind.replace(' ', '-')}-{item}-{step}-{sha256[:16]}.pt"
        if self._is_local:
            self._write_local(file, data)
        else:
            self._files.pipe_file(self._path(file), data)
        return Saved(file=file, step=step, sha256=sha256, bytes=len(data))

    def _write_local(self, file: str, data: bytes) -> None:
        path = Path(self._path(file))
        temporary = path.with_name(f"{file}.{os.getpid()}.tmp")
        try:
            with _opened(temporary) as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def read(self, file: str, sha256: str, size: int | None = None) -> bytes | None:
        """The bytes that were written; None, with a line in the log, if they are not there.

        A file that is not of this `size` is not read, however large it is; nor is a link, or what
        is no file.
        """
        if not _NAME.fullmatch(file):
            log.warning("checkpoint %.100r has no name that lrsearch gives; left alone", file)
            return None
        try:
            data = self._read_local(file, size) if self._is_local else self._fetch(file, size)
        except _ChangedError as error:
            log.warning("checkpoint %s %s; not used", file, error)
            return None
        except FileNotFoundError:
            log.warning("checkpoint %s is not in %s; another machine may have it", file, self.where)
            return None
        except Exception as error:  # of the file system's own package
            log.warning("checkpoint %s cannot be read: %s", file, describe(error))
            return None
        if hashlib.sha256(data).hexdigest() != sha256:
            log.warning("checkpoint %s has changed since it was written; not used", file)
            return None
        return data

    def _read_local(self, file: str, size: int | None) -> bytes:
        # O_NONBLOCK: a pipe in its place would be waited for without end.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            opened = os.open(self._path(file), flags)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _ChangedError("is a link, which lrsearch never makes") from error
            raise
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            os.close(opened)
            raise _ChangedError("is no file")
        with os.fdopen(opened, "rb") as handle:
            _check_size(found.st_size, size)
            return handle.read(found.st_size)

    def _fetch(self, file: str, size: int | None) -> bytes:
        path = self._path(file)
        _check_size(self._files.size(path), size)
        data: bytes = self._files.cat_file(path)
        return data

    def names(self) -> list[str]:
        """What lies in the study's folder, half-written files too; none if it cannot be listed."""
        self._files.invalidate_cache()
        try:
            paths = self._files.ls(self._folder, detail=False)
        except FileNotFoundError:
            return []
        except Exception as error:  # of the file system's own package
            log.warning("checkpoints in %s cannot be listed: %s", self.where, describe(error))
            return []
        return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in paths)

    def remove(self, files: Iterable[str]) -> int:
        """Remove files, and the folder with the last; how many it was. What stays is logged."""
        count = 0
        for file in files:
            if not _OWNER.fullmatch(file):
                log.warning("checkpoint %.100r has no name that lrsearch gives; left alone", file)
                continue
            try:
                self._files.rm_file(self._path(file))
                count += 1
            except FileNotFoundError:
                continue
            except Exception as error:  # of the file system's own package
                log.warning("checkpoint %s cannot be removed: %s", file, describe(error))
        if self._is_local:
            self._remove_empty_folders()
        return count

    def remove_all_of(self, kind: str, item: int, *, but: Collection[str] = ()) -> int:
        """Remove what was written of an item, recorded or not, `but` these; how many it was."""
        mine = (file for file in self.names() if owner(file) == (kind, item))
        return self.remove(file for file in mine if file not in but)

    def _remove_empty_folders(self) -> None:
        folder = Path(self._folder)
        with suppress(OSError):  # not empty, or another worker was faster
            folder.rmdir()
            if self._is_ours:
                folder.parent.rmdir()

    def _path(self, file: str) -> str:
        return f"{self._folder}/{file}"


class _ChangedError(Exception):
    """A file is not what was written; the message goes on from its name."""


def _check_size(found: int | None, size: int | None) -> None:
    if None not in (found, size) and found != size:
        raise _ChangedError(f"has {found} bytes, and {size} were written")


def owner(file: str) -> tuple[str, int] | None:
    """Kind and id of what a file is of; None if it is none of ours."""
    parts = _OWNER.fullmatch(file)
    return None if parts is None else (parts[1].replace("-", " "), int(parts[2]))


def _opened(path: Path) -> IO[bytes]:
    """A new, private file; another worker may remove the folder as empty in between."""
    for _ in range(10):
        # FileExistsError: it was there when it was to be made, and gone when mkdir looked.
        with suppress(FileNotFoundError, FileExistsError):
            return _new(path)
    return _new(path)


def _new(path: Path) -> IO[bytes]:
    make_private_folder(path.parent)
    path.unlink(missing_ok=True)  # of a process that was killed, or a link to somebody's file
    return open(path, "xb", opener=private)


def _open(where: str) -> tuple[fsspec.AbstractFileSystem, str]:
    place = f"checkpoints = {where!r}"
    accepted = "a folder, or a URL such as s3://bucket/folder, is accepted"
    if "::" in where:
        raise SpecError(f"{place} is a chain of file systems; {accepted}")
    try:
        has_password = urlsplit(where).password is not None
    except ValueError as error:
        raise SpecError(f"{place} is no URL: {error}; {accepted}") from error
    if has_password:
        raise SpecError(
            "checkpoints must not hold a password, it would stand in the database; give it in the "
            "way of the file system's package, such as AWS_SECRET_ACCESS_KEY"
        )
    try:
        files, root = fsspec.core.url_to_fs(where)
    except ImportError as error:
        raise SpecError(f"{place} needs a package that is not here: {error}") from error
    except ValueError as error:
        raise SpecError(f"{place}: {error}; {accepted}") from error
    except Exception as error:  # of the file system's own package
        raise SpecError(f"{place} cannot be opened: {describe(error)}") from error
    return files, root
