"""`lrsearch tune` and studies of commands, with a script that knows nothing of lrsearch."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from command import run_command
from processes import Command, finish, until
from tiny_studies import opened, recorded_checkpoints

from lrsearch.storage import curves
from lrsearch.study.open_study import OpenStudy

SCRIPT = Path(__file__).parent / "foreign_script.py"
PYTHON = sys.executable
METRIC = ("--metric", r"val_loss=valid loss +(\S+)")
TOLD = (PYTHON, "train.py", "--lr", "{lr}", "--seed", "{seed}", "--epochs", "{epochs}")
TUNE = ("tune", *METRIC, "--lr", "1e-4..1", "--epochs", "6", "--runs", "6", "--name", "tuned")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "mine"
    made.mkdir()
    shutil.copy(SCRIPT, made / "train.py")
    return made


def lrsearch(folder, *words):
    ended = run_command(*words, folder=folder, OMP_NUM_THREADS="1")
    assert ended.code == 0, ended.err
    return ended


def trials(folder, name="tuned"):
    return json.loads(lrsearch(folder, "study", "trials", name, "--json").out)


def output(folder, number, name="tuned"):
    return (folder / "lrsearch-trials" / name / f"trial-{number}" / "output.log").read_text()


def test_one_command_tunes_a_script_that_nobody_changed(folder):
    ended = lrsearch(folder, *TUNE, "--workers", "1", "--", *TOLD, "--pause", "0.05")
    lines = ended.out.splitlines()
    assert lines[0].startswith("objective: val_loss, minimized by its name (default")
    assert lines[1] == "horizon: 6 epochs, given to the script as {epochs}"
    assert (folder / "tuned-report" / "report.html").exists()
    found = trials(folder)
    assert {trial["state"] for trial in found} == {"complete", "pruned"}
    complete = [trial for trial in found if trial["state"] == "complete"]
    best = min(complete, key=lambda trial: trial["value"])
    assert 1e-3 < best["recipe"]["optimizer"]["lr"] < 0.1
    done = [trial for trial in found if "done" in output(folder, trial["trial"])]
    assert {id(trial) for trial in done} >= {id(trial) for trial in complete}
    assert len(done) < len(found)  # those that were pruned did not train on
    before = len(found)
    again = lrsearch(folder, *TUNE, "--workers", "1", "--", *TOLD, "--pause", "0.05")
    assert again.out.splitlines()[:4] == lines[:4]
    assert "first report" in ended.err
    assert "first report" not in again.err  # the study knows what its first run has shown
    assert len(trials(folder)) == before
    lrsearch(folder, "worker", "tuned")  # finds the study file that `tune` has kept
    (folder / "lrsearch-trials" / "tuned" / "study.yaml").unlink()
    refused = run_command("worker", "tuned", folder=folder)
    assert refused.code == 1
    assert "a command is not taken from the database" in refused.err


def test_without_a_length_the_reports_are_counted(folder):
    options = ("tune", *METRIC, "--lr", "1e-4..1", "--runs", "6", "--name", "tuned")
    command = (PYTHON, "train.py", "--lr={lr}")
    ended = lrsearch(folder, *options, "--workers", "1", "--", *command)
    assert "its reports are counted" in ended.out
    assert "no confirmation, because the command has no {seed}" in ended.out
    states = [trial["state"] for trial in trials(folder)]
    assert states[0] == "complete"


def study(folder, **changes):
    content = {
        "name": "tuned",
        "command": [*TOLD, "--save", "{dir}/last.json", "--wait-while", "hold"],
        "report": {"val_loss": r"epoch +(?P<epoch>\d+).*valid loss (\S+)"},
        "epochs": 6,
        "budget": {"trials": 1},
        "confirm": "none",
        "end": {"grace": "1s"},
        "lease": {"seconds": 1.5},
        "checkpoints": {"every": 0.1},
        **changes,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))


def curve(folder):
    with opened(f"sqlite:///{folder / 'lrsearch.db'}") as database:
        search = OpenStudy.open(database, "tuned")
        with database.read() as connection:
            rows = curves.of_study(connection, search.study_id, number=0)
    return [(row.epoch, row.val_loss) for row in rows]


def descendants_of(folder):
    """The scripts that run in a folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if "train.py" in (process.info["cmdline"] or []):
            try:
                if Path(process.cwd()) == folder:
                    found.append(process)
            except psutil.Error:
                continue  # it ended meanwhile
    return found


@pytest.mark.parametrize("resume", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_killed_worker_leaves_no_script_and_the_same_curve(folder, resume):
    study(folder, **({"resume_args": ["--resume", "{dir}/last.json"]} if resume else {}))
    (folder / "hold").touch()
    command = Command("run", "study.yaml", "--workers", "1", folder=folder)
    log = folder / "lrsearch-trials" / "tuned" / "trial-0" / "output.log"
    until(lambda: log.exists() and "epoch   3" in log.read_text())
    if resume:  # how far the curve is was kept
        with opened(f"sqlite:///{folder / 'lrsearch.db'}") as database:
            until(lambda: recorded_checkpoints(database))
    (script,) = descendants_of(folder)
    worker = command.children()[0]
    os.kill(worker.pid, signal.SIGKILL)
    until(lambda: not script.is_running())
    (folder / "hold").unlink()
    finish(command.process)
    lrsearch(folder, "run", "study.yaml", "--workers", "1")
    assert [epoch for epoch, _ in curve(folder)] == [1, 2, 3, 4, 5, 6]
    lr = trials(folder)[0]["recipe"]["optimizer"]["lr"]
    undisturbed = run_undisturbed(folder, lr)
    assert curve(folder) == undisturbed
    printed = log.read_text()
    assert printed.count("$ ") == 2
    assert ("--resume" in printed) is resume
    assert printed.count("epoch   1") == (1 if resume else 2)
    assert descendants_of(folder) == []


def run_undisturbed(folder, lr):
    argv = [PYTHON, "train.py", "--lr", repr(lr), "--seed", "0", "--epochs", "6"]
    printed = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in printed.splitlines() if line.startswith("epoch")]
    return [(int(row[1]), float(row[-1])) for row in rows]
