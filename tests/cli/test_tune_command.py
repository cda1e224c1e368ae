"""`lrsearch tune` up to where training begins."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command import run_command

PATTERN = r"val_loss=valid loss +(\S+)"
GIVEN = ("--metric", PATTERN, "--lr", "1e-4..1e-1", "--epochs", "8")
COMMAND = ("python", "-u", "train.py", "--lr", "{lr}", "--epochs", "{epochs}")


def test_a_study_file_is_written_in_place_of_training(tmp_path):
    ended = run_command("tune", *GIVEN, "--write", "study.yaml", "--", *COMMAND, folder=tmp_path)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0].startswith("objective: val_loss, minimized by its name (default")
    assert lines[1] == "horizon: 8 epochs, given to the script as {epochs}"
    assert lines[-1] == "wrote study.yaml; train it: lrsearch run study.yaml"
    content = yaml.safe_load((tmp_path / "study.yaml").read_text())
    assert content["command"] == list(COMMAND)
    assert content["space"]["optimizers"]["script"]["lr"] == {"low": 1e-4, "high": 0.1, "log": True}
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_a_file_that_is_there_is_kept(tmp_path):
    (tmp_path / "study.yaml").write_text("mine\n")
    ended = run_command("tune", *GIVEN, "--write", "study.yaml", "--", *COMMAND, folder=tmp_path)
    assert ended.code == 1
    assert "Error: --write study.yaml: the file is there already; name another one" in ended.err
    assert (tmp_path / "study.yaml").read_text() == "mine\n"


def test_options_after_the_first_word_of_the_command_are_its_own(tmp_path):
    ended = run_command("tune", *GIVEN, "--write", "study.yaml", *COMMAND, folder=tmp_path)
    assert ended.code == 0, ended.err
    assert yaml.safe_load((tmp_path / "study.yaml").read_text())["command"] == list(COMMAND)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ("--optimizer", "adamv"),
            "--optimizer = 'adamv' is not an optimizer; did you mean 'adam'?",
        ),
        (("--lr", "1e-1..1e-4"), "--lr 1e-1..1e-4: the lower end comes first; write 1e-4..1e-1"),
        (("--momentum", "0.9"), "--momentum: the command has no {momentum}; add it there"),
    ],
)
def test_a_mistake_ends_in_one_line_before_torch_is_loaded(tmp_path, options, line):
    ended = run_command("tune", *GIVEN, *options, "--", *COMMAND, folder=tmp_path)
    assert ended.code == 1
    assert ended.err.startswith(f"Error: {line}")
    assert len(ended.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_no_command_is_a_wrong_command_line(tmp_path):
    assert run_command("tune", *GIVEN, folder=tmp_path).code == 2


def test_the_study_file_is_made_without_torch(tmp_path):
    argv = ["lrsearch", "tune", *GIVEN, "--write", str(tmp_path / "s.yaml"), "--", *COMMAND]
    code = f"""
import atexit, sys
atexit.register(lambda: print("LOADED", {{"torch", "optuna"}} & set(sys.modules)))
sys.argv = {argv!r}
import lrsearch.cli
lrsearch.cli.main()
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert out.endswith("LOADED set()\n")


def test_another_python_than_lrsearchs_is_named_before_training(tmp_path):
    bare = tmp_path / "bare" / "python"
    bare.parent.mkdir()
    bare.symlink_to(Path(sys.executable).resolve())
    command = (str(bare), *COMMAND[1:])
    ended = run_command("tune", *GIVEN, "--write", "study.yaml", "--", *command, folder=tmp_path)
    assert ended.code == 0, ended.err
    line = f"interpreter: {bare} is {bare}; lrsearch itself runs in {sys.executable}"
    assert line in ended.out.splitlines()[:6]
