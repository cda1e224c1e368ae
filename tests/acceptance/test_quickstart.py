"""README's first command, and what it leaves: the answer, a report, a recipe that reproduces."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import run_command

STUDIES = Path(__file__).parents[2] / "studies"

REPLAY = """
import sys, json
sys.modules["lrsearch"] = None  # the exported script must not need it
import torch
torch.set_num_threads(1)
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
digits = load_digits()
split = train_test_split(
    digits.data / 16, digits.target, test_size=360, random_state=0, stratify=digits.target
)
x, x_val = (torch.tensor(part, dtype=torch.float32) for part in split[:2])
y, y_val = (torch.tensor(part, dtype=torch.int64) for part in split[2:])
def make_model():
    from torch import nn
    return nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )
sys.path.insert(0, sys.argv[1])
import best
_, rows = best.train(make_model, (x, y), (x_val, y_val), torch.nn.functional.cross_entropy)
print(json.dumps([{name: row[name] for name in ("lr", "val_loss")} for row in rows]))
"""


def lrsearch(folder: Path, *arguments: str) -> str:
    ended = run_command(*arguments, folder=folder, seconds=280, OMP_NUM_THREADS="1")
    assert ended.code == 0, ended.err
    return ended.out


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("quickstart")
    return folder, lrsearch(folder, "run", str(STUDIES / "digits.yaml"))


def test_the_quickstart_finds_a_recipe_of_97_percent_and_confirms_it(quickstart):
    folder, output = quickstart
    study = json.loads(lrsearch(folder, "study", "show", "digits", "--json"))
    assert study["state"] == "finished"
    runs = study["budget"]["runs"]
    assert runs["total"] - 1 < runs["used"] <= runs["total"] == 25
    assert sum(study["counts"].values()) >= 20
    assert study["best"]["metrics"]["accuracy"] >= 0.97
    winner = study["confirmed"][0]
    assert winner["n"] >= 4
    assert winner["ci95"][0] <= winner["mean"] <= winner["ci95"][1]
    assert winner["metrics"]["accuracy"] >= 0.97
    assert study["answer"]["sentences"][0].startswith("Best recipe")
    assert "\n".join(study["answer"]["sentences"]) in output
    assert study["epochs"]["confirm"] <= 25 * 30 / 2


def test_the_quickstart_leaves_a_report_and_an_export(quickstart):
    folder, output = quickstart
    for name in ("report.html", "report.md", "best.yaml", "best.py", "history.svg"):
        assert (folder / "digits-report" / name).stat().st_size > 0
        assert name in ("report.md", "history.svg") or name in output


@pytest.mark.slow
def test_the_exported_script_repeats_the_trials_curve(quickstart):
    """To the bit what was trained by itself (tests/export/test_export.py); in a cohort the learning
    rates, and the losses to rounding, which training amplifies."""
    folder, _ = quickstart
    study = json.loads(lrsearch(folder, "study", "show", "digits", "--json"))
    number = str(study["confirmed"][0]["trial"])
    curve = json.loads(lrsearch(folder, "study", "curves", "digits", "--trial", number, "--json"))
    replayed = subprocess.run(
        [sys.executable, "-c", REPLAY, str(folder / "digits-report")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    rows = json.loads(replayed.stdout.splitlines()[-1])
    assert [row["lr"] for row in rows] == [row["lr"] for row in curve]
    repeated, expected = ([row["val_loss"] for row in some] for some in (rows, curve))
    assert repeated[:2] == pytest.approx(expected[:2], rel=1e-3)
    assert min(repeated) < 3 * min(expected) < 0.5


def test_a_finished_study_says_so_and_prints_the_answer_again(quickstart):
    folder, output = quickstart
    again = lrsearch(folder, "run", str(STUDIES / "digits.yaml"))
    assert "study digits is finished" in again
    (recipe,) = (line for line in output.splitlines() if line.startswith("Best recipe"))
    assert recipe in again


def test_readme_shows_what_it_prints(quickstart):
    """The beginnings of lines; what follows, and the sentences left out here, depend on trials."""
    _, output = quickstart
    readme = (STUDIES.parent / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```text\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    always = re.findall(r"^(?!Safe|Tied|Next|No recipe)[A-Za-z][^\d\n:]*", shown, re.MULTILINE)
    assert len(always) >= 8
    assert [line for line in always if line not in output] == []
