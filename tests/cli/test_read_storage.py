"""`--read-storage`: commands that only read take a copy of the database, which stays as it is."""

import json
import sqlite3
from contextlib import closing

import click
import pytest
from command import run_here
from sqlalchemy import insert
from test_help import COMMANDS

from lrsearch.errors import StorageError
from lrsearch.report.text.replica import replica_text
from lrsearch.storage.database import Database
from lrsearch.storage.location import READ_OPTION, READ_VARIABLE, locate_to_read
from lrsearch.storage.replica import Replica, replica_state
from lrsearch.storage.tables import studies

COPY = "sqlite:///copy.db"
#: Words with which each reading command is run on the study `tiny` here; None: it is not.
READING = {
    ("study", "list"): (),
    ("study", "show"): ("tiny", "--json"),
    ("study", "trials"): ("tiny",),
    ("study", "curves"): ("tiny", "--csv"),
    ("study", "compare"): ("tiny", "tiny@sqlite:///lrsearch.db"),
    ("status",): ("tiny", "--all"),
    ("trial", "show"): ("tiny", "0"),
    ("trial", "log"): None,
    ("project", "actions"): (),
    ("report",): None,
    ("export",): ("tiny",),
    ("watch",): ("tiny", "--plain"),
    ("dashboard",): None,
}


def rows_of(path):
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_reading_commands_and_no_others_take_it():
    takes = {
        words
        for words, command in COMMANDS.items()
        if any(READ_OPTION in p.opts for p in command.params if isinstance(p, click.Option))
    }
    assert takes == set(READING)


def test_they_read_the_copy_and_leave_it_as_it_is(finished):
    (finished / "lrsearch.db").rename(finished / "copy.db")
    before = rows_of(finished / "copy.db")
    asked = {words: more for words, more in READING.items() if more is not None}
    del asked["study", "compare"]  # its other study is in the database
    for words, more in asked.items():
        ended = run_here(*words, *more, "--read-storage", COPY, folder=finished)
        assert ended.code == 0, (words, ended.err)
    assert rows_of(finished / "copy.db") == before
    assert not (finished / "lrsearch.db").exists()


def test_compare_takes_the_other_study_from_where_it_is_named(finished):
    (finished / "lrsearch.db").rename(finished / "copy.db")
    words = ("study", "compare", "tiny", f"tiny@{COPY}", "--read-storage", COPY)
    lines = run_here(*words, folder=finished).out.splitlines()
    assert lines[:2] == [f"storage: {COPY} (--read-storage)", f"storage: {COPY} (--storage)"]


def test_what_the_copy_lacks_is_said_in_one_line(finished):
    (finished / "lrsearch.db").rename(finished / "copy.db")
    words = ("study", "show", "tiniest", "--read-storage")
    ended = run_here(*words, COPY, folder=finished)
    assert ended.code == 1
    assert ended.err == (
        f"Error: no study 'tiniest' in {COPY} (--read-storage); accepted: tiny; a new one "
        f"may not have arrived yet\n"
    )
    ended = run_here(*words, "sqlite:///none.db", folder=finished)
    assert ended.code == 1
    assert ended.err.startswith(
        "Error: storage sqlite:///none.db (--read-storage) holds no studies"
    )
    assert not (finished / "none.db").exists()


def test_a_session_that_reads_refuses_to_write(prepared_url, monkeypatch):
    monkeypatch.setenv(READ_VARIABLE, prepared_url)
    database = Database(locate_to_read(None, None))
    try:
        with pytest.raises(StorageError, match=r"read-?only"), database.begin() as connection:
            connection.execute(insert(studies), {"study_id": 1, "name": "new"})
        with database.read() as connection:
            assert replica_state(connection) is None
    finally:
        database.close()


@pytest.fixture
def named(tmp_path, monkeypatch):
    """What is named where: nothing yet; the function says what is taken."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("LRSEARCH_STORAGE", "LRSEARCH_STORAGE_FILE", READ_VARIABLE):
        monkeypatch.delenv(name, raising=False)

    def taken(option=None, read_option=None):
        found = locate_to_read(option, read_option)
        return found.url.database, found.reads_only

    return taken


def test_which_database_is_taken(named, tmp_path, monkeypatch):
    assert named() == ("lrsearch.db", False)
    file = tmp_path / "lrsearch.toml"
    file.write_text('storage = "sqlite:///all.db"\nread_storage = "sqlite:///copy.db"\n')
    file.chmod(0o600)
    assert named() == ("copy.db", True)
    monkeypatch.setenv("LRSEARCH_STORAGE", "sqlite:///another.db")
    assert named() == ("another.db", False)  # the file's copy is of the file's database
    monkeypatch.setenv(READ_VARIABLE, "sqlite:///variable.db")
    assert named() == ("variable.db", True)
    assert named("sqlite:///asked.db") == ("asked.db", False)
    assert named("sqlite:///asked.db", "sqlite:///read.db") == ("read.db", True)


def test_what_cannot_be_read_from_is_refused(named, tmp_path):
    with pytest.raises(StorageError, match=r"--read-storage must not hold a password"):
        named(None, "postgresql://me:secret@host/db")
    with pytest.raises(StorageError, match="storage from --read-storage is no database URL"):
        named(None, "nonsense")
    (tmp_path / "lrsearch.toml").write_text('storage = "sqlite:///all.db"\nread_storage = 3\n')
    (tmp_path / "lrsearch.toml").chmod(0o600)
    with pytest.raises(StorageError, match="read_storage = 3 is no URL"):
        named()


@pytest.mark.parametrize(
    ("seconds", "shown", "streaming", "line"),
    [
        (2.14, True, True, "the last change that it shows is 2.1 s old"),
        (
            9.0,
            False,
            False,
            "the last change that it shows is 9.0 s old; it is not connected to a server that "
            "sends changes; changes have arrived that it does not show yet",
        ),
        (None, True, True, "it has replayed no change since it started"),
    ],
)
def test_how_far_a_replica_is_behind_is_a_line(seconds, shown, streaming, line):
    replica = Replica(last_change_seconds=seconds, shows_all_received=shown, streaming=streaming)
    assert replica_text(replica) == f"replica: {line}"
    assert json.loads(json.dumps(replica.to_dict()))["streaming"] is streaming
