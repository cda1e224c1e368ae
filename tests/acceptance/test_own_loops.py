"""Studies of a training loop of the user's own, with processes that are killed or do not end."""

import json
import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest
import yaml
from command import run_command, run_here
from processes import Command, finish, until
from tiny_studies import opened, recorded_checkpoints

from lrsearch.storage import curves
from lrsearch.study.open_study import OpenStudy

SCRIPT = Path(__file__).parent / "own_loop_script.py"
GOOD = [
    {"optimizer": {"name": "sgd", "lr": lr}, "schedule": {"name": "cosine"}}
    for lr in (0.1, 0.08, 0.06)
]
BAD = {"optimizer": {"name": "sgd", "lr": 1e-7}, "schedule": {"name": "cosine"}}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "mine"
    made.mkdir()
    shutil.copy(SCRIPT, made / "train.py")
    return made


def study(folder, **changes):
    content = {
        "name": "own",
        "train": "train.py:train",
        "epochs": 6,
        "budget": {"trials": 4},
        "enqueue": [*GOOD, BAD],
        "portfolio": 0,
        "confirm": "none",
        "range_test": "none",
        "pruning": {"rungs": [0.33], "min_peers": 3},
        "end": {"grace": "1s"},
        "lease": {"seconds": 1.5},
        "checkpoints": {"every": 0.001},
        **changes,
    }
    (folder / "own.yaml").write_text(yaml.safe_dump(content))


def lrsearch(folder, *words):
    ended = run_command(*words, folder=folder, OMP_NUM_THREADS="1")
    assert ended.code == 0, ended.err
    return ended


def run(folder):
    """Train the study to its end."""
    ended = run_here("run", "own.yaml", folder=folder, OMP_NUM_THREADS="1")
    assert ended.code == 0, ended.err


def trials(folder):
    return json.loads(lrsearch(folder, "study", "trials", "own", "--json").out)


def curve(folder, number=0):
    with opened(f"sqlite:///{folder / 'lrsearch.db'}") as database:
        search = OpenStudy.open(database, "own")
        with database.read() as connection:
            rows = curves.of_study(connection, search.study_id, number=number)
    return [(row.step, row.lr, row.train_loss, row.val_loss) for row in rows]


def left_running(folder):
    """What still runs in the folder of a study that has ended."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == folder:
                found.append(process.cmdline())
        except psutil.Error:
            continue  # it ended meanwhile, or is not ours
    return found


def test_a_loop_is_searched_pruned_and_confirmed(folder):
    study(folder, budget={"trials": 8}, confirm={"runs": 2}, enqueue=[*GOOD, BAD])
    lrsearch(folder, "run", "own.yaml", "--workers", "1")
    found = trials(folder)
    assert found[3]["state"] == "pruned"
    shown = json.loads(lrsearch(folder, "study", "show", "own", "--json").out)
    assert shown["confirmed"][0]["n"] == 2
    assert (folder / "own-report" / "report.html").exists()
    assert (folder / "own-report" / "best.yaml").exists()
    assert left_running(folder) == []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The curve of the first trial of a study that nothing disturbs."""
    made = tmp_path_factory.mktemp("undisturbed") / "mine"
    made.mkdir()
    shutil.copy(SCRIPT, made / "train.py")
    study(made, budget={"trials": 1})
    run(made)
    return curve(made)


@pytest.mark.parametrize("victim", ["worker", "script"])
def test_what_was_killed_goes_on_to_the_same_curve(folder, undisturbed, victim):
    study(folder, budget={"trials": 1})
    (folder / "hold").touch()
    command = Command("run", "own.yaml", "--workers", "1", folder=folder)

    def waiting():
        """The process of the script, once it waits in its fourth epoch and is saved."""
        pid, saved = folder / "pid", recorded_checkpoints(database)
        return saved and pid.exists() and pid.read_text() and psutil.Process(int(pid.read_text()))

    until(lambda: (folder / "pid").exists())  # the study is there
    with opened(f"sqlite:///{folder / 'lrsearch.db'}") as database:
        script = until(waiting)
    worker = command.children()[0]
    os.kill(worker.pid if victim == "worker" else script.pid, signal.SIGKILL)
    until(lambda: not script.is_running())
    (folder / "hold").unlink()
    finish(command.process)
    run(folder)
    [trial] = trials(folder)
    assert (trial["state"], trial["attempts"]) == ("complete", 2)
    assert curve(folder) == undisturbed
    assert left_running(folder) == []


#: How a script may stand in the way of its end.
OBSTACLES = ["except Exception", "bare except", "forks", "ignores SIGTERM", "none"]


def with_fault(recipe, fault):
    return {**recipe, "params": {"fault": fault}}


def test_pruning_cannot_be_swallowed_and_leaves_nothing_running(folder):
    good = [with_fault(recipe, fault) for recipe, fault in zip(GOOD, OBSTACLES, strict=False)]
    bad = [with_fault(BAD, fault) for fault in OBSTACLES]
    study(
        folder,
        space={"params": {"fault": {"choices": OBSTACLES}}},
        enqueue=[*good, *bad],
        budget={"trials": len(good + bad)},
    )
    run(folder)
    states = [(trial["state"], trial["epochs"]) for trial in trials(folder)]
    assert states[0] == ("complete", 6)
    assert states[len(good) :] == [("pruned", 2)] * len(bad)
    assert left_running(folder) == []


FATAL = {"segfault": "signal 11", "os._exit": "ended with status 0"}


def test_a_script_that_dies_fails_its_trial_and_hurts_nobody(folder):
    calm = [with_fault(recipe, "none") for recipe in GOOD]
    fatal = [with_fault(GOOD[0], fault) for fault in FATAL]
    study(
        folder,
        space={"params": {"fault": {"choices": [*FATAL, "none"]}}},
        enqueue=[calm[0], *fatal, *calm[1:]],
        budget={"trials": 5},
    )
    run(folder)
    found = trials(folder)
    assert [trial["state"] for trial in found[:3]] == ["complete", "failed", "failed"]
    assert "failed" not in [trial["state"] for trial in found[3:]]
    for trial, said in zip(found[1:3], FATAL.values(), strict=True):
        assert said in trial["reason"]
