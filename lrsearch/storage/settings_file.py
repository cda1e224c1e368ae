"""The file `lrsearch.toml`: where it is sought, and whose is obeyed.

It names the server that a password is sent to. So one that another user could have written is not
read, and folders above the home folder, which are shared, are not looked into.
"""

import grp
import os
import pwd
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lrsearch.errors import StorageError

NAME = "lrsearch.toml"
#: User id of root, whose files everyone's programs obey anyway.
ROOT = 0


def sought(here: Path) -> Iterator[Path]:
    """The files of this name in a folder and above it, up to the home folder if that is above."""
    home = _home()
    for folder in (here, *here.parents):
        path = folder / NAME
        if path.is_file():
            yield path
        if folder == home:
            return


class ForeignFileError(StorageError):
    """Another user could have written the file; the message says which file and why."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """What a file says. Both URLs may hold a password."""

    #: Of the database.
    storage: str
    #: Of a copy of it, from which commands that only read take what they show.
    read_storage: str | None


def storage_in(path: Path) -> Settings:
    """The database that a file names.

    Raises ForeignFileError if another user could have written it, StorageError if it names none.
    """
    try:
        if not os.access(path, os.R_OK) and (reason := _foreign(path.stat(), path.lstat())):
            raise ForeignFileError(f"{path} is ignored: {reason}")
        with path.open("rb") as file:
            # Of what is open: the path may lead to another file by the time that it is read.
            reason = _foreign(os.fstat(file.fileno()), path.lstat())
            content = {} if reason else tomllib.load(file)
    except (OSError, ValueError) as error:  # ValueError: no TOML, or no UTF-8
        raise StorageError(f"{path}: {error}") from error
    if reason:
        raise ForeignFileError(f"{path} is ignored: {reason}")
    storage = content.get("storage")
    if not isinstance(storage, str):
        raise StorageError(f'{path} has no `storage`; write storage = "sqlite:///lrsearch.db"')
    read_storage = content.get("read_storage")
    if not isinstance(read_storage, str | None):
        raise StorageError(f'{path}: read_storage = {read_storage!r} is no URL; write it in "..."')
    return Settings(storage=storage, read_storage=read_storage)


def _foreign(found: os.stat_result, link: os.stat_result) -> str | None:
    """Why a file is not obeyed, in words; None if only this user or root could have written it."""
    for status in (found, link):
        if status.st_uid not in (os.geteuid(), ROOT):
            return f"it is of user {_user(status.st_uid)}, and must be yours or root's"
    if found.st_mode & stat.S_IWOTH:
        return "every user may write it; take that away by chmod o-w"
    if found.st_mode & stat.S_IWGRP and not _is_own_group(found.st_gid, found.st_uid):
        return f"the group {_group(found.st_gid)} may write it; take that away by chmod g-w"
    return None


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except RuntimeError:  # of a user whom the system does not know, as in some containers
        return None


def _is_own_group(group: int, owner: int) -> bool:
    """Whether it is a user's private group, of their name and without another member.

    Debian, Ubuntu and Fedora give each user one, and a umask by which it may write.
    """
    if group == ROOT == owner:
        return True
    try:
        found, user = grp.getgrgid(group), pwd.getpwuid(owner)
    except KeyError:
        return False
    is_primary = user.pw_gid == group and found.gr_name == user.pw_name
    return is_primary and set(found.gr_mem) <= {user.pw_name}


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
