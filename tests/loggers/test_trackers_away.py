"""Trackers that are away, refuse or are not installed: training is as without them."""

import logging
from importlib.util import find_spec

import pytest
from command import run_command
from sites import what_came_out
from tiny_studies import TASKS, make_study, work

from lrsearch.errors import SpecError
from lrsearch.loggers import copying, installed
from lrsearch.loggers.installed import check_trackers
from lrsearch.spec.log import Log
from lrsearch.storage import workers

LOG = {"tensorboard": "tb"}
FEW = {"budget": {"trials": 4}, "confirm": "none"}


class AwayError(Exception):
    pass


class Fickle:
    """A tracker that is away for so many calls, and then says what runs it was given."""

    def __init__(self, failures):
        self.failures, self.runs = failures, {}

    def answer(self):
        self.failures -= 1
        if self.failures >= 0:
            raise AwayError("no route to host\nmore lines")

    def open(self, run):
        self.answer()
        return FickleRun(self, self.runs.setdefault(run.id, {"steps": [], "ends": []}))


class FickleRun:
    """Takes one point in a call that fails, as a server may that does not get to answer."""

    def __init__(self, tracker, run):
        self.tracker, self.run = tracker, run

    def write(self, points):
        new = [point.step for point in points if point.step not in self.run["steps"]]
        self.run["steps"] += new[:1]
        self.tracker.answer()
        self.run["steps"] += new[1:]

    def end(self, end):
        self.tracker.answer()
        self.run["ends"].append(end.state)

    def close(self):
        pass


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """No time between two looks; the folder of the tracker is the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(copying, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(copying, "REST_SECONDS", 0.01)
    monkeypatch.setattr(copying, "GIVE_UP_SECONDS", 0.2)

    def use(failures):
        tracker = Fickle(failures)
        monkeypatch.setattr(copying, "tracker", lambda log, name: lambda: tracker)
        return tracker

    return use


def warnings(caplog):
    return [row.message for row in caplog.records if row.levelno >= logging.WARNING]


@pytest.mark.parametrize("failures", [1, 2, 7])
def test_what_a_tracker_has_missed_is_sent_once_it_answers(database, quick, caplog, failures):
    tracker = quick(failures)
    search = make_study(database, log=LOG, **FEW)
    work(search)
    came_out = what_came_out(search)
    steps = {}
    for row in came_out["curves"]:
        steps.setdefault(row["trial"], []).append(row["step"])
    states = [[row["state"]] for row in came_out["trials"]]
    logged = list(tracker.runs.values())
    assert sorted(run["steps"] for run in logged) == sorted(steps.get(n, []) for n in range(4))
    assert sorted(run["ends"] for run in logged) == sorted(states)
    lines = warnings(caplog)
    assert len(lines) == (failures > 1), lines
    if lines:
        assert "log.tensorboard = 'tb': trial" in lines[0]
        assert "(AwayError: no route to host); training goes on" in lines[0]


def test_a_tracker_that_never_answers_changes_nothing_and_is_named(database, quick, caplog):
    quick(10**6)
    search = make_study(database, log=LOG, **FEW)
    work(search)
    alone = make_study(database, name="alone", **FEW)
    work(alone)
    assert what_came_out(search) == what_came_out(alone)
    first, last = warnings(caplog)
    assert "training goes on" in first
    assert "not whole there: trial" in last
    assert "and 1 more (AwayError: no route to host)" in last
    with database.read() as connection:
        kept = workers.notes(connection, search.study_id, limit=10)
    assert [row.what for row in reversed(kept)] == [first, last]


def test_a_server_that_is_away_costs_a_warning_and_no_trial(database, quick, caplog, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    search = make_study(database, log={"mlflow": "http://127.0.0.1:9"}, **FEW)
    work(search)
    assert {row["state"] for row in what_came_out(search)["trials"]} <= {"complete", "pruned"}
    assert "log.mlflow = 'http://127.0.0.1:9'" in warnings(caplog)[-1]


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_package_is_one_line_before_anything_is_trained(monkeypatch, name, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        installed, "find_spec", lambda module: None if module == name else find_spec(module)
    )
    with pytest.raises(SpecError) as caught:
        check_trackers(Log(**{name: "sqlite:///m.db"}))
    line = f"log.{name}: the package {name} is not installed; pip install 'lrsearch[{name}]'"
    assert str(caught.value) == line


def test_check_says_where_wandb_has_no_login(tmp_path):
    study = (TASKS / "tiny.yaml").read_text() + "log: {wandb: lr}\n"
    (tmp_path / "tiny.yaml").write_text(study)
    (tmp_path / "tiny.py").write_text((TASKS / "tiny.py").read_text())
    home = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")}
    refused = run_command("check", "tiny.yaml", folder=tmp_path, **home)
    assert (refused.code, refused.out) == (1, "")
    [line] = [line for line in refused.err.splitlines() if line.startswith("Error")]
    assert line == (
        "Error: tiny.yaml: log.wandb: no API key for W&B is found here; run `wandb login`, or set "
        "WANDB_API_KEY, or WANDB_MODE=offline to keep the runs in ./wandb"
    )


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SpecError, match="no folder can be made there"):
        check_trackers(Log(tensorboard=str(tmp_path / "file" / "tb")))
