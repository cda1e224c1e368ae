"""The folder of a trial of a script: fresh for a new run, kept for one that goes on."""

from pathlib import Path

import pytest

from lrsearch.child_process import folders

FOLDER = Path("lrsearch-trials", "wlm", "trial-3")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def begin(attempt=1, *, goes_on=False):
    return folders.begin_attempt(FOLDER, attempt, f"host:{attempt}:1", goes_on=goes_on)


def test_each_run_has_a_folder_of_its_own_below_the_current_one():
    assert folders.trial_folder("wlm", folders.search_name(3)) == FOLDER
    run = folders.trial_folder("wlm", folders.confirmation_name(3, 1234))
    assert run == FOLDER.with_name("confirm-3-seed-1234")
    assert not FOLDER.parent.exists()


def test_an_attempt_that_goes_on_finds_its_files_and_a_line_after_the_output():
    output = begin()
    assert output == FOLDER / "output.log"
    output.write_text("epoch 1\nepo")
    (FOLDER / "last.pt").write_text("weights")
    assert begin(2, goes_on=True) == output
    with output.open("a") as file:
        file.write("epoch 2\n")
    assert output.read_text() == "epoch 1\nepo\n--- attempt 2, worker host:2:1\nepoch 2\n"
    assert (FOLDER / "last.pt").read_text() == "weights"
    assert [path.name for path in FOLDER.parent.iterdir()] == ["trial-3"]


def test_an_attempt_that_begins_anew_keeps_the_output_alone():
    begin().write_text("epoch 1\n")
    begin(2)
    assert [path.name for path in FOLDER.parent.iterdir()] == ["trial-3"]
    (FOLDER / "last.pt").write_text("weights")
    begin(3)
    assert [path.name for path in FOLDER.iterdir()] == ["output.log"]
    assert (FOLDER / "output.log").read_text() == (
        "epoch 1\n\n--- attempt 2, worker host:2:1\n\n--- attempt 3, worker host:3:1\n"
    )
    assert FOLDER.with_name("trial-3.1").joinpath("last.pt").read_text() == "weights"


def test_an_attempt_on_another_machine_begins_with_its_line():
    assert begin(2, goes_on=True).read_text() == "--- attempt 2, worker host:2:1\n"


def test_a_first_attempt_never_goes_on_from_the_files_of_an_earlier_study():
    for content in ("first", "second", "third"):
        begin()
        assert list(FOLDER.iterdir()) == []
        (FOLDER / "last.pt").write_text(content)
    assert {path.name: (path / "last.pt").read_text() for path in FOLDER.parent.iterdir()} == {
        "trial-3": "third",
        "trial-3.1": "first",
        "trial-3.2": "second",
    }


def test_the_trials_of_a_renamed_study_move_and_its_files_stay():
    begin().write_text("epoch 1\n")
    (FOLDER.parent / "study.yaml").write_text("name: wlm")
    folders.move_study("wlm", "wlm.1")
    moved = Path("lrsearch-trials", "wlm.1", "trial-3", "output.log")
    assert moved.read_text() == "epoch 1\n"
    assert [path.name for path in FOLDER.parent.iterdir()] == ["study.yaml"]
    folders.move_study("unknown", "unknown.1")
    assert not Path("lrsearch-trials", "unknown.1").exists()


def test_a_study_is_removed_whole_and_alone(tmp_path):
    for study in ("wlm", "wlm-2"):
        folder = folders.trial_folder(study, "trial-0")
        folders.begin_attempt(folder, 1, "host:1:1", goes_on=False).write_text("x")
    assert folders.remove_study("wlm")
    assert [path.name for path in Path("lrsearch-trials").iterdir()] == ["wlm-2"]
    assert not folders.remove_study("wlm")
    assert folders.remove_study("wlm-2")
    assert list(tmp_path.iterdir()) == []
