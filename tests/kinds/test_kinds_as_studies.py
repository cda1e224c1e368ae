"""Tasks of several kinds as whole studies, by commands: search, confirmation, export."""

import json
import shutil
from pathlib import Path

import pytest
from command import run_command, run_here

HERE = Path(__file__).parent
STUDY = """
name: {name}
task: {name}.py:task
epochs: 3
budget: {{trials: 4}}
confirm: {{candidates: 2, runs: 4}}
portfolio: none
space:
  optimizers: {{sgd: {{lr: {{low: 1e-3, high: 0.1, log: true}}, momentum: 0.9}}, adamw: {{}}}}
  schedules: {{constant: {{}}, cosine: {{}}}}
"""


@pytest.fixture
def folder(tmp_path, request):
    name = request.param
    shutil.copy(HERE / f"{name}.py", tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY.format(name=name))
    return tmp_path


def succeeded(*arguments, folder):
    ended = run_here(*arguments, folder=folder)
    assert ended.code == 0, ended.out + ended.err
    return ended.out


@pytest.mark.parametrize(
    "folder",
    [
        "vae",
        "finetune",
        pytest.param("language", marks=pytest.mark.slow),
        pytest.param("stream", marks=pytest.mark.slow),
    ],
    indirect=True,
)
def test_a_study_of_it_is_searched_confirmed_and_exported(folder):
    name = next(folder.glob("*.py")).stem
    succeeded("run", "study.yaml", "--workers", 1, folder=folder)
    shown = json.loads(succeeded("study", "show", name, "--json", folder=folder))
    assert shown["state"] == "finished"
    assert shown["confirmed"]
    recipe = json.loads(succeeded("export", name, "--format", "json", folder=folder))
    assert ("groups" in recipe) == (name == "finetune")
    script = succeeded("export", name, "--format", "torch", folder=folder)
    compile(script, "best.py", "exec")
    assert ("layers" in script) == (name == "finetune")


@pytest.mark.parametrize("folder", ["vae", "finetune"], indirect=True)
def test_the_range_test_trains_it(folder):
    found = json.loads(
        succeeded("range-test", "study.yaml", "--optimizer", "sgd", "--json", folder=folder)
    )
    [result] = found if isinstance(found, list) else [found]
    assert result["window"] is not None


DOUBTFUL = """
import torch
from torch import nn
import lrsearch

x = torch.randn(64, 4)
task = lrsearch.Task(
    model=lambda: nn.Linear(4, 1),
    train=(x[:32], x[:32, 0]),
    validation=(x[32:], x[32:, 0]),
    loss=nn.functional.mse_loss,
    batch_size=16,
)
"""


def test_who_creates_a_study_hears_of_doubts_about_its_task(tmp_path):
    (tmp_path / "doubtful.py").write_text(DOUBTFUL)
    (tmp_path / "study.yaml").write_text(STUDY.format(name="doubtful"))
    ended = run_command("study", "create", "study.yaml", folder=tmp_path)
    assert ended.code == 0
    assert "warning: mse_loss gets outputs float32 [16, 1] and targets float32 [16]" in ended.err
