"""Whose `lrsearch.toml` is obeyed: it names the server that a password is sent to."""

import os
from pathlib import Path

import pytest

from lrsearch.errors import StorageError
from lrsearch.storage import settings_file
from lrsearch.storage.location import locate
from lrsearch.storage.study_names import names_in_file

OTHER = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A home folder with a project in it, which is the current one."""
    home = tmp_path / "home"
    (home / "project" / "runs").mkdir(parents=True)
    monkeypatch.chdir(home / "project" / "runs")
    monkeypatch.setenv("HOME", str(home))
    for name in ("LRSEARCH_STORAGE", "LRSEARCH_STORAGE_FILE"):
        monkeypatch.delenv(name, raising=False)
    return home


def write(folder: Path, name: str = "named", mode: int = 0o600) -> Path:
    path = folder / settings_file.NAME
    path.write_text(f'storage = "sqlite:///{name}.db"')
    path.chmod(mode)
    return path


def named():
    return locate(None).url.database


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o644])
def test_a_file_of_ones_own_is_obeyed_from_the_home_folder_downwards(folders, mode):
    write(folders, "home", mode)
    assert named() == "home.db"
    write(folders / "project", "project", mode)
    assert named() == "project.db"


def test_nothing_is_sought_above_the_home_folder(folders, caplog):
    write(folders.parent)
    assert named() == "lrsearch.db"
    assert caplog.messages == []


def test_outside_the_home_folder_all_folders_above_are_looked_into(folders, monkeypatch):
    write(folders.parent)
    elsewhere = folders.parent / "data" / "runs"
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    assert named() == "named.db"


@as_root
@pytest.mark.parametrize("link", [False, True])
def test_a_file_of_another_user_is_ignored_and_a_line_says_so(folders, caplog, link):
    write(folders, "mine")
    path = write(folders / "project", "theirs")
    if link:
        path.rename(folders / "other.toml")
        path.symlink_to(folders / "other.toml")
    os.chown(path, OTHER, OTHER, follow_symlinks=False)
    assert [named(), named()] == ["mine.db", "mine.db"]
    assert caplog.messages == [
        f"{path} is ignored: it is of user {OTHER}, and must be yours or root's"
    ]


@as_root
def test_a_link_to_a_file_of_another_user_is_ignored(folders):
    target = write(folders.parent)
    os.chown(target, OTHER, OTHER)
    (folders / settings_file.NAME).symlink_to(target)
    assert named() == "lrsearch.db"


@as_root
def test_root_obeys_no_user_and_a_user_obeys_root(folders, monkeypatch):
    path = write(folders, "roots", 0o644)
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    assert named() == "roots.db"
    os.chown(path, OTHER + 1, OTHER)
    assert named() == "lrsearch.db"


@pytest.mark.parametrize(("mode", "who"), [(0o602, "every user"), (0o666, "every user")])
def test_a_file_that_everybody_may_write_is_ignored(folders, caplog, mode, who):
    path = write(folders, mode=mode)
    assert named() == "lrsearch.db"
    assert caplog.messages == [
        f"{path} is ignored: {who} may write it; take that away by chmod o-w"
    ]


@as_root
def test_a_file_that_a_group_may_write_is_ignored_unless_it_is_the_users_own(folders, caplog):
    path = write(folders, mode=0o660)
    assert named() == "named.db"  # the group root, which is root's own
    os.chown(path, 0, OTHER)
    assert named() == "lrsearch.db"
    assert caplog.messages == [
        f"{path} is ignored: the group {OTHER} may write it; take that away by chmod g-w"
    ]


def test_a_completion_says_nothing(folders, caplog, capfd):
    write(folders, mode=0o666)
    assert names_in_file(None, "") == []
    assert caplog.messages == []
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("content", [b"storage = 3", b"storage", b"", b"\xff\xfe"])
def test_a_file_that_names_nothing_is_refused_in_one_line(folders, content):
    path = folders / settings_file.NAME
    path.write_bytes(content)
    with pytest.raises(StorageError, match=str(path)) as error:
        locate(None)
    assert "\n" not in str(error.value)
