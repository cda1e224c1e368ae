"""`search(train=...)` and `search(command=...)`: scripts in processes of their own."""

import gc
import importlib
import sys
import tempfile

import pytest

import lrsearch

#: Prints a loss that is lowest at lr 0.01, and a little noise of the seed.
COMMAND = """
import argparse, math, random
parser = argparse.ArgumentParser()
for name, kind in (("lr", float), ("seed", int), ("epochs", int)):
    parser.add_argument(f"--{name}", type=kind)
args = parser.parse_args()
noise = random.Random(args.seed).random()
for epoch in range(1, args.epochs + 1):
    loss = abs(math.log10(args.lr) + 2) + 1 / epoch + 0.01 * noise
    print(f"epoch {epoch} valid loss {loss:.6f}", flush=True)
"""
WORDS = [sys.executable, "script.py", "--lr", "{lr}", "--seed", "{seed}", "--epochs", "{epochs}"]
TRAIN = """
import torch


def train(run):
    torch.manual_seed(run.seed)
    x = torch.randn(64, 4)
    model = torch.nn.Linear(4, 1)
    optimizer = run.build(model, steps_per_epoch=4)
    for epoch in run.epochs():
        for batch in x.split(16):
            optimizer.zero_grad()
            loss = (model(batch) - batch[:, :1]).square().mean()
            loss.backward()
            optimizer.step()
        run.report(val_loss=float((model(x) - x[:, :1]).square().mean()))
"""
FEW = {"epochs": 3, "trials": 6, "workers": 1}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with another for what is temporary; no database is named."""
    folder = tmp_path / "here"
    folder.mkdir()
    (tmp_path / "temporary").mkdir()
    (folder / "script.py").write_text(COMMAND)
    (folder / "own_loop_of_test.py").write_text(TRAIN)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    for name in ("LRSEARCH_STORAGE", "LRSEARCH_STORAGE_FILE"):
        monkeypatch.delenv(name, raising=False)
    return folder


def left(folder):
    return {path.name for path in folder.iterdir()} - {"__pycache__"}


SCRIPTS = {"script.py", "own_loop_of_test.py"}


def test_a_named_command_is_searched_and_confirmed_later(here):
    report = {"val_loss": r"valid loss (\S+)"}
    made = lrsearch.search(command=WORDS, name="mine", report=report, confirm="none", **FEW)
    assert made.counts.started == 6
    best = min(made.trials, key=lambda trial: trial.value)
    points = made.curves(best.number)
    assert [point.epoch for point in points] == [1, 2, 3]
    assert made.export("shell").rstrip().endswith(" --epochs 3")
    with pytest.raises(lrsearch.StudyError, match=r"plot.schedules\(\): the script of study"):
        made.plot.schedules()
    distance = points[0].value - 1
    assert [p.value for p in points] == pytest.approx([distance + 1 / e for e in (1, 2, 3)])
    del made
    gc.collect()
    assert left(here) >= {"lrsearch-trials", "lrsearch.db"}
    assert lrsearch.open_study("mine", workers=1).confirm(runs=1).confirmed_runs == 1


def test_a_function_of_a_file_is_searched_and_leaves_nothing(here, monkeypatch):
    monkeypatch.syspath_prepend(str(here))
    module = importlib.import_module("own_loop_of_test")
    monkeypatch.setitem(sys.modules, "own_loop_of_test", module)
    space = {"optimizers": {"sgd": {}}, "schedules": {"constant": {}, "cosine": {}}}
    result = lrsearch.search(
        train=module.train, epochs=3, trials=4, confirm="none", space=space, workers=1
    )
    assert result.counts.started == 4
    assert result.best is not None
    assert {trial.recipe.optimizer_name for trial in result.trials} == {"sgd"}
    assert len(result.curves(result.trial)) == 3
    del result
    gc.collect()
    assert left(here) == SCRIPTS
