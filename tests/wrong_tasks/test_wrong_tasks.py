"""What is said of tasks that are wrong, each in its own way: one line that names the remedy. It is
kept beside them; LRSEARCH_SNAPSHOTS=write writes it anew.
"""

import os
import sys
from pathlib import Path

import pytest
import torch

from lrsearch.errors import LrsearchError
from lrsearch.preflight.task import check_study
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.find import load_task

HERE = Path(__file__).parent
WRONG = sorted(set(HERE.glob("*.py")) - {HERE / "good.py", Path(__file__)})
STUDY = {
    "epochs": 2,
    "budget": {"trials": 4},
    "space": {"optimizers": {"sgd": {}}, "schedules": ["constant"]},
}


def said(name):
    """What `check` says of the task in this file."""
    spec = StudySpec.from_dict({"name": "wrong", "task": f"{name}.py:task", **STUDY})
    loaded = load_task(spec.task, HERE)
    try:
        checked = check_study(spec, loaded, folder=HERE, device="cpu", where="study.yaml")
    except LrsearchError as error:
        return f"Error: {' '.join(str(error).split())}\n"
    lines = [f"warning: {line}" for line in checked.warnings]
    return "".join(f"{line}\n" for line in [*lines, *(f"note: {n}" for n in checked.notes)])


@pytest.fixture(autouse=True)
def same_numbers(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_the_good_task_gives_no_reason():
    assert said("good") == ""


#: torch says it as well, beside our line.
@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_one_line_says_what_is_wrong_and_what_to_write(path):
    words = said(path.stem)
    snapshot = path.with_suffix(".txt")
    if os.environ.get("LRSEARCH_SNAPSHOTS") == "write":
        snapshot.write_text(words)
    assert len(words.splitlines()) == 1, words
    assert words == snapshot.read_text()
