"""`search` without a name: nothing stays behind, and nothing is lost before its time."""

import gc
import os
import shutil
import subprocess
import sys
import tempfile
import warnings

import pytest
import torch
from tiny_studies import TASKS, search_here

import lrsearch
from lrsearch.api.temporary_place import TemporaryPlace

#: The budget of a study of a second, whose trials are enough to confirm some.
QUICK = {"budget": {"trials": 20}, "confirm": "none"}


#: The same for a task of the test's own.
PLAIN = {**QUICK, "portfolio": "none", "range_test": "none", "pruning": "none"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, with another for what is temporary; no database is named."""
    (tmp_path / "here").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    for name in ("LRSEARCH_STORAGE", "LRSEARCH_STORAGE_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "here"


@pytest.fixture
def places(here):
    """The temporary folders that there are."""
    return lambda: sorted((here.parent / "temporary").glob("lrsearch-search-*"))


def quick(**changes):
    return search_here(**{**QUICK, **changes})


def test_nothing_is_left_in_the_current_folder(here, places):
    result = quick(checkpoints={"every": 0.001})
    assert list(here.iterdir()) == []
    assert result.name.startswith("search-")
    assert len(places()) == 1
    assert result.report(here / "report").exists()
    assert result.curves()
    del result
    gc.collect()
    assert places() == []


def test_what_confirm_returned_keeps_the_folder(here, places):
    result = quick()
    confirmed = result.confirm(runs=2)
    del result
    gc.collect()
    assert len(places()) == 1
    assert confirmed.confirmed_runs > 0
    assert len(confirmed.curves()) > 0
    del confirmed
    gc.collect()
    assert places() == []
    assert list(here.iterdir()) == []


def test_pictures_keep_the_folder_for_as_long_as_they_are_drawn(here, places):
    plot = quick().plot
    gc.collect()
    assert len(places()) == 1
    from matplotlib.figure import Figure

    plot.curves(Figure().add_subplot())
    del plot
    gc.collect()
    assert places() == []


def test_workers_of_a_task_in_a_file_find_the_folder(here, places):
    shutil.copy(TASKS / "tiny.py", here)
    result = lrsearch.search("tiny.py:task", workers=1, epochs=4, **PLAIN)
    assert result.counts.started == 20
    assert result.confirm(runs=2).confirmed_runs > 0
    assert {path.name for path in here.iterdir()} <= {"tiny.py", "__pycache__"}
    assert len(places()) == 1


@pytest.mark.parametrize(
    "named", [{"name": "mine"}, {"storage": "sqlite:///mine.db"}], ids=["name", "storage"]
)
def test_a_named_study_stays(named, here, places):
    result = quick(**named)
    assert {path.suffix for path in here.iterdir()} <= {".db", ".db-wal", ".db-shm"}
    assert places() == []
    name = result.name
    del result
    gc.collect()
    storage = named.get("storage")
    assert lrsearch.open_study(name, storage=storage).counts.started == 20


def test_a_database_that_the_environment_names_is_used(here, places, monkeypatch):
    monkeypatch.setenv("LRSEARCH_STORAGE", f"sqlite:///{here}/shared.db")
    name = quick().name
    gc.collect()
    assert lrsearch.open_study(name).counts.started == 20
    assert places() == []


def test_a_database_that_a_file_names_is_used(here, places):
    (here / "lrsearch.toml").write_text(f'storage = "sqlite:///{here}/shared.db"\n')
    name = quick().name
    assert lrsearch.open_study(name).counts.started == 20
    assert places() == []


def test_a_place_for_checkpoints_that_is_given_is_used(here):
    result = quick(checkpoints="kept")
    assert result._report.spec.checkpoints.to == "kept"


def test_without_one_they_lie_in_the_temporary_folder(here, places):
    result = quick(checkpoints={"every": "30s"})
    (place,) = places()
    assert result._report.spec.checkpoints.to == str(place / "checkpoints")
    assert result._report.spec.checkpoints.every == 30


MAKE_PLACE = """
import os, sys
from pathlib import Path
from lrsearch.api.temporary_place import TemporaryPlace
beside = Path("lrsearch-trials/search-1")
beside.mkdir(parents=True)
place = TemporaryPlace(beside)
place.database.touch()
print(place.folder, flush=True)
"""
ENDS = {
    "returns": "",
    "raises": "raise RuntimeError('of the user')",
    "exits": "sys.exit(3)",
    "keeps": "place.keep(); del place; assert len(os.listdir(os.environ['TMPDIR'])) == 1",
    # A child that ends in order leaves the folder to its parent.
    "forks": "if os.fork() == 0: sys.exit()\nos.wait(); print(place.database.exists())",
}


@pytest.mark.parametrize("end", ENDS)
def test_the_folder_is_gone_when_the_process_is(end, here, places):
    code = MAKE_PLACE + ENDS[end]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    folder, *rest = done.stdout.splitlines()
    assert folder.startswith(f"{here.parent}/temporary/lrsearch-search-")
    assert rest == (["True"] if end == "forks" else [])
    assert "AssertionError" not in done.stderr
    assert places() == []
    assert list(here.iterdir()) == []


def test_folders_of_other_studies_stay(here):
    mine, other = here / "lrsearch-trials" / "mine", here / "lrsearch-trials" / "other"
    for folder in (mine, other):
        folder.mkdir(parents=True)
    place = TemporaryPlace(mine)
    place.remove()
    assert not place.folder.exists()
    assert not mine.exists()
    assert other.exists()


def interrupting(after):
    """A task whose loss is interrupted, as by Ctrl-C, at a call."""
    calls = []

    def loss(output, target):
        calls.append(None)
        if len(calls) > after:
            raise KeyboardInterrupt
        return (output - target).square().mean()

    x = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
    return lrsearch.Task(
        model=lambda: torch.nn.Linear(4, 1),
        train=(x, x[:, :1]),
        validation=(x[:48] + 1, x[:48, :1]),
        loss=loss,
        batch_size=16,
    )


def test_after_an_interruption_what_was_trained_can_be_read(here, places):
    with pytest.raises(KeyboardInterrupt) as raised:
        lrsearch.search(interrupting(400), epochs=4, **PLAIN, fuse="off")
    (note,) = raised.value.__notes__
    (place,) = places()
    assert f"storage='sqlite:///{place}/lrsearch.db'" in note
    name = note.partition("open_study('")[2].partition("'")[0]
    found = lrsearch.open_study(name, storage=f"sqlite:///{place}/lrsearch.db")
    assert 0 < found.counts.complete < 20
    assert list(here.iterdir()) == []


def test_an_error_before_the_first_trial_leaves_nothing(here, places):
    with pytest.raises(lrsearch.SpecError):
        quick(fuse=1000)
    gc.collect()
    assert places() == []


# Warnings


def doubtful():
    x = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    return lrsearch.Task(
        model=lambda: torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Softmax(dim=1)),
        train=(x[:64], y[:64]),
        validation=(x[64:], y[64:]),
        loss=torch.nn.functional.cross_entropy,
        batch_size=16,
    )


def test_doubts_about_a_task_are_warnings_at_the_call(here):
    with pytest.warns(lrsearch.TaskWarning, match="cross_entropy gets probabilities") as caught:
        lrsearch.search(doubtful(), epochs=4, **{**PLAIN, "budget": {"trials": 1}})
    assert caught[0].filename == __file__


def test_doubts_can_be_errors_before_anything_is_trained(here, places):
    with warnings.catch_warnings():
        warnings.simplefilter("error", lrsearch.TaskWarning)
        with pytest.raises(lrsearch.TaskWarning):
            lrsearch.search(doubtful(), name="mine", epochs=4, **PLAIN)
    assert os.listdir(here) == []  # noqa: PTH208
    assert places() == []
