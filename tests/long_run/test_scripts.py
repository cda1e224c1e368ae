"""`lrsearch train` of studies whose program is a script: a loop of its own, or a command."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from command import run_here
from torch import nn

SCRIPT = Path(__file__).parents[1] / "acceptance" / "own_loop_script.py"
RECIPE = {"optimizer": {"name": "sgd", "lr": 0.1}, "schedule": {"name": "cosine"}}
PRINTS = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--epochs", type=int, default=3)
arguments = parser.parse_args()
for epoch in range(1, arguments.epochs + 1):
    print(f"epoch {epoch} val_loss {arguments.lr / epoch}", flush=True)
"""


def searched(folder, **study):
    content = {"name": "mine", "budget": {"trials": 1}, "confirm": "none", **study}
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    ended = run_here("run", "mine.yaml", folder=folder)
    assert ended.code == 0, ended.err


def train(folder, *words):
    return run_here("train", "mine", *words, folder=folder)


def validation_loss(state):
    """What the script's last samples give, in plain torch."""
    made = torch.Generator().manual_seed(1)
    x = torch.randn(160, 4, generator=made)
    y = x.sum(1, keepdim=True) + 0.1 * torch.randn(160, 1, generator=made)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1)).eval()
    model.load_state_dict(state)
    with torch.no_grad():
        return nn.functional.mse_loss(model(x[128:]), y[128:]).item()


def curve(folder, name):
    return json.loads(run_here("study", "curves", name, "--json", folder=folder).out)


def test_a_loop_of_ones_own_is_run_over_the_new_length(tmp_path):
    shutil.copy(SCRIPT, tmp_path / "train.py")
    searched(
        tmp_path,
        train="train.py:train",
        epochs=2,
        enqueue=[RECIPE],
        portfolio=0,
        range_test="none",
        pruning="none",
    )
    ended = train(tmp_path, "--epochs", 5, "--save", "model.pt", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert (found["epochs"], found["model"]) == (5.0, str(tmp_path / "model.pt"))
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    assert validation_loss(state) == pytest.approx(found["value"], rel=1e-6)
    (kept,) = tmp_path.rglob("kept-weights-*.pt")
    assert kept.parent.name == "trial-0"
    assert [row["epoch"] for row in curve(tmp_path, "mine-train-5")] == [1, 2, 3, 4, 5]
    branched = run_here("branch", "mine", 0, "--at", "2,4", folder=tmp_path)
    assert branched.code == 1
    assert "only a study with a task branches runs" in branched.err


def command(*more):
    words = [sys.executable, "prints.py", "--lr", "{lr}", *more]
    pattern = r"epoch (?P<epoch>\d+) val_loss (\S+)"
    return {"command": words, "report": {"val_loss": pattern}, "epochs": 3}


SPACE = {"optimizers": {"script": {"lr": {"low": 0.1, "high": 1.0}}}}


def test_a_command_is_told_the_new_length(tmp_path):
    (tmp_path / "prints.py").write_text(PRINTS)
    searched(tmp_path, **command("--epochs", "{epochs}"), space=SPACE)
    ended = train(tmp_path, "--epochs", 6, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    refused = train(tmp_path, "--epochs", 6, "--save", "model.pt")
    assert refused.code == 1
    assert "Error: --save model.pt: study 'mine' trains a command, whose weights" in refused.err
    assert [row["epoch"] for row in curve(tmp_path, "mine-train-6")] == [1, 2, 3, 4, 5, 6]
    assert found["value"] == pytest.approx(found["recipe"]["optimizer"]["lr"] / 6)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--epochs", 6), "--epochs 6: the command of study 'mine' has no {epochs}, so this does"),
        (("--steps", 6), "--steps 6: the command of study 'mine' has no {steps}, so this does not"),
        (("--epochs", 3, "--seed", 4), "--seed 4: the command of study 'mine' has no {seed}"),
    ],
)
def test_what_a_command_would_not_hear_is_refused(tmp_path, words, line):
    (tmp_path / "prints.py").write_text(PRINTS)
    searched(tmp_path, **command(), space=SPACE)
    ended = train(tmp_path, *words)
    assert ended.code == 1
    assert f"Error: {line}" in ended.err
