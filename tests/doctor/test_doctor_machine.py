"""Disk, limits, and the shell's completion."""

import resource
import shutil
from contextlib import chdir
from types import SimpleNamespace

import pytest

from lrsearch.doctor import machine
from lrsearch.doctor.findings import in_units


def states(findings):
    return [finding.state for finding in findings]


@pytest.mark.parametrize(
    ("free", "state"), [(2**40, "ok"), (2**30, "note"), (100 * 2**20, "problem")]
)
def test_little_room_is_a_note_and_hardly_any_a_problem(monkeypatch, tmp_path, free, state):
    monkeypatch.setattr(
        machine.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free, total=free)
    )
    with chdir(tmp_path):
        assert states(machine.disk(None)) == [state, state]
        assert states(machine.disk("postgresql://host/name")) == [state]
        assert states(machine.disk("nonsense")) == [state]


def test_few_open_files_are_a_note(monkeypatch, tmp_path):
    for limits, state in (((256, 4096), "note"), ((4096, 4096), "ok"), ((-1, -1), "ok")):
        monkeypatch.setattr(resource, "getrlimit", lambda which, limits=limits: limits)
        first, *_ = machine.limits(tmp_path)
        assert first.state == state
    assert resource.RLIM_INFINITY == -1


def test_little_shared_memory_is_a_note(monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)._replace(total=64 * 2**20)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: usage)
    _, shared = machine.limits(tmp_path)
    assert shared.state == "note"
    assert "--shm-size" in shared.advice
    assert len(list(machine.limits(tmp_path / "nothing"))) == 1


@pytest.mark.parametrize("shell", machine.COMPLETIONS)
def test_a_shell_completes_once_its_file_has_the_line_that_is_advised(shell, tmp_path):
    def told():
        (found,) = machine.completion({"SHELL": f"/usr/bin/{shell}"}, tmp_path)
        return found

    before = told()
    assert before.state == "note"
    name, line = machine.COMPLETIONS[shell]
    assert before.advice == f"add to ~/{name}: {line}"
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(line)
    assert told().state == "ok"


def test_nothing_is_said_of_a_shell_that_cannot_complete(tmp_path):
    assert not list(machine.completion({"SHELL": "/bin/dash"}, tmp_path))
    assert not list(machine.completion({}, tmp_path))


def test_bytes_are_told_in_units():
    assert [in_units(count) for count in (5, 2048, 3 * 2**20, 2**31, 5 * 2**50)] == [
        "5 B",
        "2 KiB",
        "3 MiB",
        "2 GiB",
        "5.12e+03 TiB",
    ]
