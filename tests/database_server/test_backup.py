"""Backups of SQLite files, and what is refused."""

import sqlite3
import stat
from contextlib import closing

import pytest
from tiny_studies import ask, make_study, opened

from lrsearch.database_server.backup import back_up, restore
from lrsearch.database_server.programs import find_programs
from lrsearch.errors import StorageError
from lrsearch.report.summary import trial_rows
from lrsearch.study.open_study import OpenStudy


def at(url):
    """A database that nothing is done with."""
    return opened(f"sqlite:///{url}")


def test_a_copy_holds_what_is_in_the_log_alone_and_the_study_goes_on_there(sqlite_url, tmp_path):
    with opened(sqlite_url) as database, database.read():  # this reader keeps the log from merging
        ask(make_study(database))
        assert database.path.with_name(f"{database.path.name}-wal").stat().st_size > 0
        back_up(database, tmp_path / "all.backup")
    assert stat.S_IMODE((tmp_path / "all.backup").stat().st_mode) == 0o600
    with at(tmp_path / "new.db") as restored:
        restore(restored, tmp_path / "all.backup")
        search = OpenStudy.open(restored, "tiny")
        assert ask(search).number == 1  # trial 0 was asked for before
        assert [row["state"] for row in trial_rows(search)] == ["running"] * 2


def test_what_a_backup_does_not_overwrite(sqlite_url, tmp_path):
    (tmp_path / "kept").write_text("mine")
    with opened(sqlite_url) as database:
        with pytest.raises(StorageError, match="kept exists; name a new file"):
            back_up(database, tmp_path / "kept")
        with pytest.raises(StorageError, match="no file can be made in"):
            back_up(database, tmp_path / "nowhere" / "kept")
        back_up(database, tmp_path / "all.backup")
        with pytest.raises(StorageError, match="exists; a backup is restored into a new file"):
            restore(database, tmp_path / "all.backup")
    assert (tmp_path / "kept").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.glob("*.part")) == []


def test_what_is_no_backup_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "words").write_text("no database")
    (tmp_path / "dump").write_bytes(b"PGDMP....")
    with at(tmp_path / "new.db") as database:
        with pytest.raises(StorageError, match="words is no backup; `lrsearch db backup FILE`"):
            restore(database, tmp_path / "words")
        with pytest.raises(StorageError, match="another kind of database; restore it with"):
            restore(database, tmp_path / "dump")
        with pytest.raises(StorageError, match="nothing: No such file"):
            restore(database, tmp_path / "nothing")
    assert not (tmp_path / "new.db").exists()


def test_a_damaged_or_foreign_file_leaves_no_database(sqlite_url, tmp_path):
    with opened(sqlite_url) as database:
        back_up(database, tmp_path / "damaged")
    whole = (tmp_path / "damaged").read_bytes()
    (tmp_path / "damaged").write_bytes(whole[: len(whole) // 2] + b"x" * (len(whole) // 2))
    with closing(sqlite3.connect(tmp_path / "foreign")) as connection, connection:
        connection.execute("CREATE TABLE t (a)")
    for name, expected in {"damaged": "damaged", "foreign": "no such table"}.items():
        with at(tmp_path / "new.db") as database, pytest.raises(StorageError, match=expected):
            restore(database, tmp_path / name)
    assert [path.name for path in tmp_path.glob("new*")] == []


def test_a_dump_needs_programs_that_are_there(postgres_url, tmp_path):
    with opened(postgres_url) as database:
        with pytest.raises(StorageError, match="has no program 'pg_dump'; name the folder"):
            back_up(database, tmp_path / "all.backup", programs=tmp_path)
        assert not (tmp_path / "all.backup").exists()
    with pytest.raises(StorageError, match="has no program 'postgres'"):
        find_programs(tmp_path).path("postgres")
