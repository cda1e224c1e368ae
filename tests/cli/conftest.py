"""A folder with the tiny study, and one with the database of that study after it has finished."""

import shutil
from pathlib import Path

import pytest
from command import run_here

TASKS = Path(__file__).parents[1] / "tasks"


def copy_tasks(folder):
    shutil.copytree(TASKS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def folder(tmp_path):
    """A folder with tiny.yaml, its task, and no database."""
    return copy_tasks(tmp_path / "work")


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory):
    """A folder with a finished study, which nothing changes."""
    folder = copy_tasks(tmp_path_factory.mktemp("finished") / "work")
    ended = run_here("run", "tiny.yaml", folder=folder)
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture
def finished(finished_once, tmp_path):
    """A folder of the test's own with the database of a finished study."""
    return shutil.copytree(finished_once, tmp_path / "work")
