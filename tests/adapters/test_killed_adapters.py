"""Trials of Lightning and of a Hugging Face Trainer whose process or worker is killed."""

import json
import re
from pathlib import Path

import psutil
import pytest
import yaml
from command import run_command
from processes import Command, finish, until
from tiny_studies import opened, recorded_checkpoints

from lrsearch.storage import curves
from lrsearch.study.open_study import OpenStudy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PAGES = Path(__file__).parents[2] / "docs" / "howto"
FILE = re.compile(r"<!-- file: (\S+\.py) -->\n```python\n(.*?)```", re.S)
METRICS = {"lightning": "val_loss", "transformers": "eval_loss"}
#: In the script of the page: its fourth report waits until a file is gone, and says its process.
HOLDS = """
import os, pathlib, time
from lrsearch import run as _run
_report = type(_run).report
def _held(self, **metrics):
    while self.epoch == 3 and pathlib.Path("hold").exists():
        pathlib.Path("pid").write_text(str(os.getpid()))
        time.sleep(0.05)
    _report(self, **metrics)
type(_run).report = _held
"""


def write(folder, page):
    """The page's script, and a study of one trial of it."""
    folder.mkdir(exist_ok=True)
    [(name, text)] = FILE.findall((PAGES / f"{page}.md").read_text(encoding="utf-8"))
    (folder / name).write_text(HOLDS + text)
    content = {
        "name": "own",
        "train": name,
        "epochs": 6,
        "objective": {"metric": METRICS[page], "direction": "minimize"},
        "budget": {"trials": 1},
        "enqueue": [{"optimizer": {"name": "adamw", "lr": 0.01}, "schedule": {"name": "cosine"}}],
        "portfolio": 0,
        "confirm": "none",
        "range_test": "none",
        "lease": {"seconds": 1.5},
        "checkpoints": {"every": 0.01},
        "end": {"grace": "1s"},
    }
    (folder / "own.yaml").write_text(yaml.safe_dump(content))


def curve(folder):
    with opened(f"sqlite:///{folder / 'lrsearch.db'}") as database:
        study = OpenStudy.open(database, "own")
        with database.read() as connection:
            rows = curves.of_study(connection, study.study_id, number=0)
    return [(row.step, row.lr, row.train_loss, row.metrics) for row in rows]


def run(folder):
    ended = run_command("run", "own.yaml", "--workers", "1", folder=folder, seconds=200)
    assert ended.code == 0, ended.err


def waiting(folder, besides=None):
    """The process of a script that waits in its fourth epoch, and whose checkpoint is recorded."""
    pid = folder / "pid"
    found = int(pid.read_text() or 0) if pid.exists() else 0
    if found in (0, besides):
        return None
    with opened(f"sqlite:///{folder / 'lrsearch.db'}") as database:
        return psutil.Process(found) if recorded_checkpoints(database) else None


@pytest.mark.parametrize("page", METRICS)
def test_what_was_killed_goes_on_to_the_same_curve(page, tmp_path):
    write(tmp_path / "undisturbed", page)
    run(tmp_path / "undisturbed")
    folder = tmp_path / "killed"
    write(folder, page)
    (folder / "hold").touch()
    command = Command("run", "own.yaml", "--workers", "1", folder=folder)
    first = until(lambda: waiting(folder))
    first.kill()
    second = until(lambda: waiting(folder, besides=first.pid))
    command.children()[0].kill()
    until(lambda: not second.is_running())
    (folder / "hold").unlink()
    finish(command.process)
    run(folder)
    shown = run_command("study", "trials", "own", "--json", folder=folder)
    [trial] = json.loads(shown.out)
    assert trial["state"] == "complete"
    assert trial["attempts"] == 3
    assert curve(folder) == curve(tmp_path / "undisturbed")
