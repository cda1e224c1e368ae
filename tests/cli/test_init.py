"""`lrsearch init`: what it writes, and what it refuses."""

import pytest
from command import files_below, run_command

SCRIPT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--epochs", type=int, default=4)
for epoch in range(parser.parse_args().epochs):
    print(f"valid loss {1 / (1 + epoch):.4f}")
"""
LOOP = "import torch\noptimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"


def init(folder, *words, code=0):
    ended = run_command("init", *words, folder=folder)
    assert ended.code == code, ended.err
    return ended.out + ended.err


def test_without_a_script_it_writes_a_study_and_a_task_and_asks_nothing(tmp_path):
    assert init(tmp_path).splitlines() == [
        "wrote study.yaml",
        "wrote task.py",
        "run it: lrsearch run study.yaml",
    ]
    before = files_below(tmp_path)
    assert "init overwrites nothing" in init(tmp_path, code=1)
    assert files_below(tmp_path) == before


def test_a_command_study_is_written_where_out_says(tmp_path):
    (tmp_path / "new").mkdir()
    assert init(tmp_path, "--command", "--out", "new/mine.yaml").splitlines()[:2] == [
        "wrote new/mine.yaml",
        "wrote new/train.py",
    ]
    assert "train.py, --lr" in (tmp_path / "new/mine.yaml").read_text()


def test_a_script_with_a_rate_is_a_command_and_one_without_is_a_loop(tmp_path):
    (tmp_path / "main.py").write_text(SCRIPT)
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop/loop.py").write_text(LOOP)
    assert "metric: val_loss from line 7" in init(tmp_path, "main.py", "--", "--flag")
    assert "main.py, --flag, --lr" in (tmp_path / "study.yaml").read_text()
    told = init(tmp_path, "loop/loop.py")
    assert told.startswith("wrote loop/study.yaml\n")  # beside the script, where it is looked for
    assert "write: optimizer = run.build(model" in told
    assert told.endswith("then: lrsearch check loop/study.yaml\n")
    assert "train: main.py" not in (tmp_path / "study.yaml").read_text()


def test_a_script_with_a_rate_may_be_a_loop_as_well(tmp_path):
    (tmp_path / "main.py").write_text(SCRIPT)
    assert "run.epochs" in init(tmp_path, "--train", "main.py")
    assert "\ntrain: main.py" in (tmp_path / "study.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nothing.py"], "nothing.py: cannot read the script: No such file or directory"),
        (["loop.py", "--command"], "loop.py takes no learning rate as an argument"),
        (["loop.py", "--out", "other/study.yaml"], "a study of a loop lies beside its script"),
        (["--train"], "--train needs a script"),
        (["--train", "--command"], "--command and --train exclude each other"),
        (["--out", "nowhere/study.yaml"], "the folder nowhere does not exist"),
    ],
)
def test_what_cannot_be_written_is_one_line_and_leaves_nothing(words, line, tmp_path):
    (tmp_path / "loop.py").write_text(LOOP)
    (tmp_path / "other").mkdir()
    before = files_below(tmp_path)
    told = init(tmp_path, *words, code=1)
    assert told.startswith("Error: ")
    assert len(told.splitlines()) == 1
    assert line in told
    assert files_below(tmp_path) == before
