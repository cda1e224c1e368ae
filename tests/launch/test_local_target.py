"""Workers as processes of this machine; a script stands for each."""

import os
from dataclasses import replace
from pathlib import Path

import fake_worker_program
import pytest
from fake_worker_program import begun
from processes import until

from lrsearch.errors import StudyError
from lrsearch.launch.fleet import Fleet
from lrsearch.launch.local import LocalTarget
from lrsearch.launch.snapshot import CodeSnapshot
from lrsearch.launch.target import remembered
from lrsearch.storage import worker_identity
from lrsearch.storage.location import locate

ALIKE = "--fuse auto --compile auto"


@pytest.fixture
def fleet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fake_worker_program.install(tmp_path, monkeypatch)
    code = CodeSnapshot(folder=tmp_path, files={})
    location = locate(f"sqlite:///{tmp_path}/study.db")
    fleet = Fleet(study="tiny", workers=2, location=location, code=code, device="cpu")
    yield fleet
    (tmp_path / "code").write_text("0")
    until(lambda: all(worker_identity.is_dead(one) for one in _ids()))


def _ids():
    return [member.id for member in LocalTarget().stop("tiny")]


def test_workers_run_until_they_are_stopped(fleet, tmp_path):
    started = LocalTarget().start(fleet)
    until(lambda: len(begun(tmp_path)) == 2)
    assert remembered("tiny", "local") == started
    pids = [worker_identity.place(member.id)[1] for member in started]
    assert sorted(pids) == sorted(begun(tmp_path))
    assert os.getpgid(pids[0]) != os.getpgid(0)  # Ctrl-C of the terminal does not reach it
    assert LocalTarget().stop("tiny") == started
    assert all(worker_identity.is_dead(member.id) for member in started)
    assert remembered("tiny", "local") == []
    words = (tmp_path / "words").read_text().splitlines()
    assert words[0] == f"-m lrsearch worker tiny --device cpu {ALIKE} --task-dir {tmp_path} -v"


def test_a_second_fleet_stands_beside_the_first_with_logs_of_its_own(fleet, tmp_path):
    first, second = LocalTarget().start(fleet), LocalTarget().start(fleet)
    logs = {Path(member.log).name for member in (*first, *second)}
    assert logs == {f"worker-{number}.log" for number in range(4)}
    assert len(LocalTarget().stop("tiny")) == 4


def test_with_a_time_limit_a_keeper_runs_the_workers(fleet, tmp_path):
    LocalTarget().start(replace(fleet, workers=1, time_limit=90.0))
    until(lambda: begun(tmp_path))
    (words,) = (tmp_path / "words").read_text().splitlines()
    module = "-m lrsearch.launch.local_keeper worker tiny"
    assert words.startswith(f"{module} --device cpu {ALIKE} --task-dir {tmp_path} --time-limit 90s")
    assert words.endswith("--unfinished-code 75 -v")


def test_a_process_that_took_the_number_of_an_ended_worker_is_left_alone(fleet, tmp_path):
    (tmp_path / "code").write_text("0")
    started = LocalTarget().start(fleet)
    until(lambda: len(begun(tmp_path)) == 2)
    until(lambda: LocalTarget().stop("tiny") == [])
    assert len(started) == 2


def test_a_damaged_record_is_refused_in_one_line(fleet, tmp_path):
    record = tmp_path / "lrsearch-launch" / "tiny" / "local.json"
    record.parent.mkdir(parents=True)
    record.write_text("[{}]")
    with pytest.raises(StudyError, match=r"local\.json is damaged"):
        LocalTarget().stop("tiny")
    record.unlink()
