"""`lrsearch check` on study files that are wrong, each in its own way: what it says is kept beside
them. LRSEARCH_SNAPSHOTS=write writes it anew.
"""

import os
import shutil
from pathlib import Path

import pytest
from command import run_command

WRONG = Path(__file__).parents[1] / "wrong_studies"


def said(ended):
    """The exit code, and the lines that find fault."""
    faults = [line for line in ended.out.splitlines() if "warning" in line]
    return "\n".join([f"exit {ended.code}", *faults, *ended.err.splitlines()]) + "\n"


@pytest.mark.parametrize("path", sorted(WRONG.glob("*.yaml")), ids=lambda path: path.stem)
def test_check_says_what_is_wrong(path, tmp_path):
    for file in (path, WRONG / "small.py"):
        shutil.copy(file, tmp_path)
    words = said(run_command("check", path.name, folder=tmp_path))
    snapshot = path.with_suffix(".txt")
    if os.environ.get("LRSEARCH_SNAPSHOTS") == "write":
        snapshot.write_text(words)
    assert words == snapshot.read_text()
