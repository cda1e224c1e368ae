"""The folder of a trial of a script: where it is, fresh at the first attempt, kept afterwards."""

import pytest

from lrsearch.child_process import folders


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_each_run_has_a_folder_of_its_own_below_the_current_one(tmp_path):
    here = tmp_path / "lrsearch-trials" / "wlm"
    assert folders.trial_folder("wlm", 3) == here / "trial-3"
    assert folders.confirmation_folder("wlm", 7, 1234) == here / "confirm-7-1234"
    assert folders.range_test_folder("wlm", "own.py:Lion") == here / "range-test-own.py-Lion"
    assert not here.exists()


def test_attempts_are_parted_by_a_line():
    folder = folders.trial_folder("wlm", 0)
    output = folders.begin_attempt(folder, 1, "host:1:1")
    assert output == folder / "output.log"
    output.write_text("epoch 1\nepo")
    (folder / "last.pt").write_text("weights")
    assert folders.begin_attempt(folder, 2, "host:2:2") == output
    with output.open("a") as file:
        file.write("epoch 2\n")
    assert output.read_text() == "epoch 1\nepo\n--- attempt 2, worker host:2:2\nepoch 2\n"
    assert (folder / "last.pt").read_text() == "weights"


def test_an_attempt_on_another_machine_begins_with_its_line():
    output = folders.begin_attempt(folders.trial_folder("wlm", 0), 2, "host:2:2")
    assert output.read_text() == "--- attempt 2, worker host:2:2\n"


def test_a_first_attempt_never_goes_on_from_the_files_of_an_earlier_study():
    folder = folders.trial_folder("wlm", 0)
    for content in ("first", "second", "third"):
        folders.begin_attempt(folder, 1, "host:1:1")
        assert list(folder.iterdir()) == []
        (folder / "last.pt").write_text(content)
    assert {path.name: (path / "last.pt").read_text() for path in folder.parent.iterdir()} == {
        "trial-0": "third",
        "trial-0.1": "first",
        "trial-0.2": "second",
    }


def test_a_study_is_removed_whole_and_alone(tmp_path):
    for study in ("wlm", "wlm-2"):
        folders.begin_attempt(folders.trial_folder(study, 0), 1, "host:1:1").write_text("x")
    assert folders.remove_study("wlm")
    assert [path.name for path in folders.TRIALS.iterdir()] == ["wlm-2"]
    assert not folders.remove_study("wlm")
    assert folders.remove_study("wlm-2")
    assert list(tmp_path.iterdir()) == []
