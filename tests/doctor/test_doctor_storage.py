"""The database as the doctor finds it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lrsearch.doctor import storage as doctor_storage
from lrsearch.doctor.storage import kind_of_files, storage
from lrsearch.storage.health import Health


def told(url):
    return [(found.state, found.text, found.advice) for found in storage(url)]


def states(url):
    return {state for state, *_ in told(url)}


@pytest.fixture
def url_of(prepared_url, monkeypatch):
    """Named by the environment: a test server's URL has a password, which `--storage` refuses."""
    monkeypatch.setenv("LRSEARCH_STORAGE", prepared_url)


@pytest.mark.usefixtures("url_of")
def test_a_database_that_is_ready_is_ok():
    lines = told(None)
    assert {state for state, *_ in lines} == {"ok"}
    assert "0 studies" in lines[0][1]


def test_a_file_that_is_not_there_yet_is_ok_and_stays_away(tmp_path):
    ((state, text, _),) = told(f"sqlite:///{tmp_path}/new.db")
    assert state == "ok"
    assert "not there yet" in text
    assert not list(tmp_path.iterdir())


def test_what_is_wrong_with_a_file_is_a_problem(tmp_path):
    (tmp_path / "text.db").write_text("no database" * 1000)
    for name in ("text.db", "nowhere/study.db"):
        assert "problem" in states(f"sqlite:///{tmp_path}/{name}")
    assert states("mysql://host/name") == {"problem"}
    assert not (tmp_path / "nowhere").exists()


def test_a_server_that_does_not_answer_is_a_problem():
    ((state, text, _),) = told("postgresql://nobody@127.0.0.1:1/none")
    assert state == "problem"
    assert "127.0.0.1" in text


def test_tables_of_an_older_or_a_newer_version_are_a_problem(sqlite_url):
    path = sqlite_url.removeprefix("sqlite:///")
    for revision, word in (("001", "lrsearch db upgrade"), ("999", "update lrsearch")):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE lr_alembic_version SET version_num = ?", (revision,))
        ((state, text, advice),) = [line for line in told(sqlite_url) if line[0] != "ok"]
        assert state == "problem"
        assert word in text + advice


def test_a_write_lock_that_another_process_holds_is_a_problem(sqlite_url, monkeypatch):
    monkeypatch.setattr(doctor_storage, "BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("BEGIN IMMEDIATE")
        lines = told(sqlite_url)
        connection.rollback()
    assert [text for state, text, _ in lines if state == "problem"] == [
        "trials cannot be written to it"
    ]
    assert states(sqlite_url) == {"ok"}


def test_a_slow_answer_and_a_clock_that_differs_are_notes(sqlite_url, monkeypatch):
    sick = Health(
        revision="008", studies=2, read_seconds=0.4, clock_difference=-90.0, writable=True
    )
    monkeypatch.setattr(doctor_storage, "health", lambda database: sick)
    notes = [text for state, text, _ in told(sqlite_url) if state == "note"]
    assert notes == ["it answers in 4e+02 ms", "the database's clock is 90 s behind"]


def test_a_network_drive_is_told_from_a_disk_within_it(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "disk / ext4 rw 0 0\nhost:/share /mnt/my\\040share nfs4 rw 0 0\n"
        "disk /mnt/my\\040share/local xfs rw 0 0\n"
    )
    found = {
        place: kind_of_files(Path(place), mounts)
        for place in ("/home/a", "/mnt/my share/b", "/mnt/my share/local/c", "/mnt/my sharer")
    }
    assert list(found.values()) == ["ext4", "nfs4", "xfs", "ext4"]
    assert kind_of_files(Path("/"), tmp_path / "nothing") is None


def test_a_network_drive_is_a_note(sqlite_url, monkeypatch):
    monkeypatch.setattr(doctor_storage, "kind_of_files", lambda folder: "nfs4")
    ((_, text, advice),) = [line for line in told(sqlite_url) if line[0] == "note"]
    assert "network drive (nfs4)" in text
    assert "PostgreSQL" in advice
