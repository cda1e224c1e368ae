"""What a study leaves is for its user alone, whatever the umask; what was there stays as it is."""

import logging
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from lrsearch.child_process.folders import begin_attempt, keep_study_file
from lrsearch.cli import logs
from lrsearch.doctor.storage import storage
from lrsearch.private_files import make_private_file, make_private_folder
from lrsearch.storage.checkpoint_store import CheckpointStore
from lrsearch.study.prepare_database import open_database
from lrsearch.worker.leases.curve_buffer import CurveBuffer


@pytest.fixture(autouse=True, params=[0o000, 0o022, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def modes(folder):
    """Of all files and folders below it."""
    found = list(folder.rglob("*"))
    assert found
    return {str(path.relative_to(folder)): mode(path) for path in found}


def test_a_database_and_what_sqlite_puts_beside_it(here):
    with closing(open_database(f"sqlite:///{here}/study.db", create=True)) as database:
        with database.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE more (x)")
        found = modes(here)
        assert {"study.db", "study.db-wal", "study.db-shm"} <= found.keys()
        assert set(found.values()) == {0o600}


def test_a_database_that_was_there_keeps_its_mode(here):
    path = here / "study.db"
    path.touch()
    path.chmod(0o660)
    with closing(open_database(f"sqlite:///{path}", create=True)):
        assert mode(path) == 0o660


def test_a_folder_that_is_not_there_is_said_as_before(here):
    assert not (here / "none").exists()
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect(here / "none" / "study.db")
    make_private_file(here / "none" / "study.db")
    assert not (here / "none").exists()


def test_checkpoints_and_the_folders_above_them(here):
    CheckpointStore("kept/below", "tiny").write("trial", 1, 2, b"data")
    found = modes(here)
    (file,) = [name for name in found if name.endswith(".pt")]
    assert found == {"kept": 0o700, "kept/below": 0o700, "kept/below/tiny": 0o700, file: 0o600}


def test_a_checkpoint_is_not_written_through_a_link(here):
    """Where others may write into the folder, one may lay a link where a file will be made."""
    store = CheckpointStore("kept", "tiny")
    saved = store.write("trial", 1, 2, b"data")
    target = here / "target"
    target.write_text("precious")
    folder = here / "kept" / "tiny"
    (folder / saved.file).unlink()
    (folder / f"{saved.file}.{os.getpid()}.tmp").symlink_to(target)
    store.write("trial", 1, 2, b"data")
    assert target.read_text() == "precious"
    assert (folder / saved.file).read_bytes() == b"data"
    assert not (folder / saved.file).is_symlink()


def test_the_output_of_trials(here):
    begin_attempt(Path("lrsearch-trials/tiny/trial-3"), 2, "host:1:1", goes_on=True)
    keep_study_file("tiny", "name: tiny")
    for name, found in modes(here).items():
        assert found == (0o600 if name.endswith((".log", ".yaml")) else 0o700), name


def test_a_log_file(here):
    logs.configure(0, here / "log")
    try:
        logging.getLogger("lrsearch").warning("a line")
    finally:
        logs.configure(0, None)
    assert mode(here / "log") == 0o600
    (here / "log").chmod(0o644)
    logs.configure(0, here / "log")
    logs.configure(0, None)
    assert mode(here / "log") == 0o644


def test_the_folder_of_rows_that_wait_for_the_database(here):
    buffer = CurveBuffer("spilled/rows")
    file = buffer._new_file()
    assert modes(here) == {"spilled": 0o700, "spilled/rows": 0o700}
    assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
    file.close()


def test_a_folder_that_was_there_keeps_its_mode(here):
    (here / "open").mkdir()
    (here / "open").chmod(0o755)
    make_private_folder(here / "open" / "new")
    assert modes(here) == {"open": 0o755, "open/new": 0o700}
    make_private_file(here / "file")
    with pytest.raises(FileExistsError):
        make_private_folder(here / "file")


def test_the_doctor_tells_once_what_others_may_read(here, umask):
    url = f"sqlite:///{here}/study.db"
    open_database(url, create=True).close()
    (here / "lrsearch-checkpoints").mkdir(0o700)
    assert notes(url) == []
    (here / "study.db").chmod(0o644)
    (here / "lrsearch-checkpoints").chmod(0o755)
    names = f"{here}/study.db lrsearch-checkpoints"
    assert notes(url) == [
        (f"other users may read {names}", f"chmod -R go= {names}, unless that is wished")
    ]
    shutil.rmtree(here / "lrsearch-checkpoints")


def notes(url):
    found = [each for each in storage(url) if "other users" in each.text]
    return [(each.text, each.advice) for each in found]
