"""The commit of a study's code, asked of real repositories."""

import shutil
import subprocess

import pytest

from lrsearch.task.commit import commit_of

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def git(folder, *words):
    ended = subprocess.run(["git", *AUTHOR, *words], cwd=folder, check=True, capture_output=True)
    return ended.stdout.decode().strip()


@pytest.fixture
def studies(tmp_path):
    """A folder with one committed file, below the top of its repository."""
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "task.py").write_text("task = 1\n")
    (tmp_path / "other.py").write_text("other = 1\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return folder


def test_the_commit_is_the_head_of_the_folders_repository(studies):
    assert commit_of(studies) == git(studies, "rev-parse", "HEAD")


def test_a_changed_file_beside_the_code_is_told(studies):
    (studies / "task.py").write_text("task = 2\n")
    assert commit_of(studies) == f"{git(studies, 'rev-parse', 'HEAD')}, with changes"


def test_files_elsewhere_and_new_ones_are_no_changes(studies):
    (studies.parent / "other.py").write_text("other = 2\n")
    (studies / "lrsearch.db").write_text("")
    assert commit_of(studies) == git(studies, "rev-parse", "HEAD")


def test_there_is_none_without_a_commit_or_a_repository(tmp_path):
    assert commit_of(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert commit_of(tmp_path) is None
    assert commit_of(tmp_path / "missing") is None


def test_there_is_none_where_git_is_not_installed(studies, monkeypatch):
    monkeypatch.setenv("PATH", str(studies))
    assert commit_of(studies) is None
