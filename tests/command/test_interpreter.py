"""A command that runs in another Python than lrsearch."""

import os
import sys
from pathlib import Path

import pytest

from lrsearch.command.interpreter import missing_module, other_python, python_lines


@pytest.fixture
def bare_python(tmp_path):
    """A Python with nothing installed, as a link in a folder of its own."""
    path = tmp_path / "bare" / "python"
    path.parent.mkdir()
    path.symlink_to(Path(sys.executable).resolve())
    return str(path)


def test_lrsearchs_own_interpreter_is_no_other():
    assert other_python([sys.executable, "train.py"]) is None


def test_a_program_that_is_no_python_is_no_other():
    assert other_python(["sh", "train.sh", "{lr}"]) is None


def test_a_python_that_cannot_be_run_is_left_to_the_run(tmp_path):
    assert other_python([str(tmp_path / "python"), "train.py"]) is None


def test_a_python_that_links_to_the_same_program_is_another_environment(bare_python):
    assert other_python([bare_python, "train.py"]) == (bare_python, bare_python)
    assert other_python(["stdbuf", "-oL", bare_python, "train.py"]) == (bare_python, bare_python)


def test_the_first_python_on_path_is_what_the_word_means(bare_python, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(bare_python).parent), prepend=os.pathsep)
    assert other_python(["python", "train.py"]) == ("python", bare_python)


@pytest.mark.parametrize(
    "line",
    [
        "ModuleNotFoundError: No module named 'torch'",
        "ModuleNotFoundError: No module named 'torch.nn'; 'torch' is not a package",
        "/usr/bin/python3: No module named torch",
    ],
)
def test_a_module_that_lrsearch_has_names_its_interpreter(bare_python, line):
    said = missing_module(line, [bare_python, "train.py"])
    assert said == (
        f"; {bare_python} is {bare_python}, and lrsearch runs in {sys.executable}, which has "
        f"torch: write {sys.executable} in place of {bare_python}"
    )


def test_a_module_that_nobody_has_is_the_scripts_own_matter(bare_python):
    line = "ModuleNotFoundError: No module named 'no_such_module_anywhere'"
    assert missing_module(line, [bare_python, "train.py"]) == ""


def test_a_module_missing_in_lrsearchs_interpreter_has_no_advice():
    line = "ModuleNotFoundError: No module named 'torch'"
    assert missing_module(line, [sys.executable, "train.py"]) == ""
    assert missing_module("ValueError: no data", [sys.executable, "train.py"]) == ""


def test_a_line_says_which_other_python_runs_the_command(bare_python):
    assert python_lines([bare_python, "train.py"]) == (
        f"interpreter: {bare_python} is {bare_python}; lrsearch itself runs in {sys.executable}",
    )
    assert python_lines([sys.executable, "train.py"]) == ()
