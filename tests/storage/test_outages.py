"""A database that goes away for a while, on SQLite and on PostgreSQL."""

import contextlib
import gc
import logging
import os
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, contextmanager

import pytest
from postgres import Server
from processes import until
from proxy import Proxy
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from tiny_studies import opened

from lrsearch.errors import StorageError
from lrsearch.storage import outages, postgresql
from lrsearch.storage.database import Database
from lrsearch.storage.location import Location
from lrsearch.storage.moments import Trouble, trouble_of
from lrsearch.storage.outages import Patience
from lrsearch.storage.postgresql import answer_seconds, unhurried

PATIENT = Patience(seconds=60.0)


@pytest.fixture(scope="module")
def server():
    """A server that tests may restart and kill."""
    server = Server(synchronous_commit="on")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def proxy(postgres):
    proxy = Proxy(postgres.port)
    yield proxy
    proxy.close()


@contextmanager
def patient(url, seconds=PATIENT.seconds):
    """The database at a URL, as a worker has it, with a table `t`."""
    with opened(url) as database:
        with database.begin() as connection:
            if not database.is_sqlite:
                connection.execute(text("CREATE SCHEMA IF NOT EXISTS lrsearch"))
            connection.execute(text("CREATE TABLE IF NOT EXISTS t (x integer NOT NULL UNIQUE)"))
        database.patience = Patience(seconds=seconds)
        yield database
        with database.begin() as connection:
            connection.execute(text("DROP TABLE t"))


@pytest.fixture
def through(postgres, proxy):
    """A patient database that is reached through the proxy."""
    url = make_url(postgres.url("postgres")).set(port=proxy.port)
    with patient(url) as database:
        yield database


def add(connection, x=1):
    connection.execute(text("INSERT INTO t VALUES (:x)"), {"x": x})
    return "added"


def found(connection):
    rows = connection.execute(text("SELECT x FROM t ORDER BY x")).scalars().all()
    return rows or None


# What passes


def test_errors_of_ours_never_pass():
    assert trouble_of(ValueError("database is locked")) is None
    assert trouble_of(sqlite3.ProgrammingError("Cannot operate on a closed database.")) is None


def failure(database, *statements):
    """The error of the last of these statements."""
    *before, last = map(text, statements)
    with database.engine.connect() as connection:
        for statement in before:
            connection.execute(statement)
        with pytest.raises(DBAPIError) as raised:
            connection.execute(last)
    return raised.value


@pytest.mark.parametrize(
    ("statements", "trouble"),
    [
        (["SET LOCAL statement_timeout = 1", "SELECT pg_sleep(9)"], Trouble.BUSY),
        (["SELECT pg_terminate_backend(pg_backend_pid())"], Trouble.AWAY),
        (["SELECT * FROM nowhere"], None),
        (["SELEC 1"], None),
        (["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1)"], None),
        (["SET ROLE pg_monitor", "INSERT INTO t VALUES (1)"], None),
        (["SET TRANSACTION READ ONLY", "INSERT INTO t VALUES (1)"], Trouble.READ_ONLY),
    ],
)
def test_real_errors_of_a_server(through, statements, trouble):
    assert trouble_of(failure(through, *statements)) is trouble


def connecting(url):
    with opened(url) as database, pytest.raises(StorageError) as raised, database.begin():
        pass
    assert "\n" not in str(raised.value)
    return trouble_of(raised.value.__cause__)


def test_real_errors_of_connecting(postgres, proxy):
    assert connecting(postgres.url("postgres", password="wrong")) is Trouble.AWAY
    assert connecting(postgres.url("nowhere")) is Trouble.AWAY
    postgres.execute("CREATE ROLE crowded LOGIN PASSWORD 'x' CONNECTION LIMIT 0")
    assert connecting(postgres.url("postgres", user="crowded", password="x")) is Trouble.AWAY
    postgres.execute("DROP ROLE crowded")
    proxy.refuse()
    url = make_url(postgres.url("postgres"))
    assert connecting(url.set(port=proxy.port)) is Trouble.AWAY
    proxy.close()
    assert connecting(url.set(port=proxy.port)) is Trouble.AWAY


def test_real_errors_of_sqlite(tmp_path):
    with patient(f"sqlite:///{tmp_path}/study.db") as database:
        filling = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 9999) "
        full = "PRAGMA max_page_count = 4", filling + "INSERT INTO t SELECT x FROM n"
        assert trouble_of(failure(database, *full)) is Trouble.FULL
        assert trouble_of(failure(database, "SELECT * FROM nowhere")) is None
        assert trouble_of(failure(database, "INSERT INTO t VALUES (NULL)")) is None
        read_only = "PRAGMA query_only = ON", "INSERT INTO t VALUES (1)"
        assert trouble_of(failure(database, *read_only)) is Trouble.READ_ONLY
        database.close()
    assert connecting(f"sqlite:///{tmp_path}/nowhere/study.db") is Trouble.AWAY
    (tmp_path / "letter.db").write_text("Dear Sir or Madam" * 100)
    assert connecting(f"sqlite:///{tmp_path}/letter.db") is None


# Waiting


def test_a_transaction_goes_through_a_restart(server, caplog):
    with patient(server.url("postgres")) as database:
        restarts = iter([server.restart])

        def work(connection):
            for restart in restarts:
                restart()
            return add(connection)

        assert database.run(work) == "added"
        assert database.look(found) == [1]
    assert [record.message.split(";")[0][:30] for record in caplog.records] == [
        "the database does not answer",
        "the database answers again aft",
    ]


def test_a_transaction_waits_for_a_killed_server(server):
    with patient(server.url("postgres")) as database:
        assert database.run(add) == "added"
        server.kill()
        again = threading.Timer(0.5, server.start)
        again.start()
        assert database.run(found) == [1]
        again.join()


def test_after_a_restart_no_pooled_connection_costs_a_failure(server):
    with patient(server.url("postgres")) as database:
        with database.begin(), database.begin(), database.begin():
            pass  # three lie in the pool now
        server.restart()
        database.patience = Patience(seconds=0)
        with database.begin() as one, database.begin() as two, database.read() as three:
            assert [found(connection) for connection in (one, two, three)] == [None] * 3


def test_a_pooled_session_that_the_server_has_ended_costs_no_failure(through, postgres):
    with through.begin() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    assert postgres.execute("SELECT pg_terminate_backend(%s, 5000)", pid) == [(True,)]
    through.patience = Patience(seconds=0)
    with through.begin() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() != pid


def test_a_session_to_which_nothing_has_come_is_not_asked(through, monkeypatch):
    """It costs each transaction a round trip."""
    with through.begin() as connection:
        session = connection.connection.driver_connection
    assert session.is_quiet()
    monkeypatch.setattr(session, "execute", None)
    postgresql.check(session)
    session.close()
    assert not session.is_quiet()


def test_a_lost_acknowledgement_is_not_done_twice(through, proxy):
    proxy.cut_after(b"COMMIT")
    assert through.run(add, recall=found) == [1]
    assert through.look(found) == [1]


def test_a_commit_that_is_on_its_way_for_long_is_not_done_twice(through, proxy):
    """The server reads it only when the next attempt has begun."""
    silences = iter([proxy.silence])

    def work(connection):
        added = add(connection)
        for silence in silences:
            silence()
            threading.Timer(1.0, proxy.resume).start()
        return added

    assert through.run(work, recall=found, answer_seconds=0.3) in ([1], "added")
    assert through.look(found) == [1]


@pytest.mark.parametrize("fault", ["cut", "silence", "client", "server"])
def test_a_transaction_goes_through_what_networks_do(through, proxy, postgres, fault):
    def hurt():
        if fault == "silence":
            proxy.silence()
            threading.Timer(0.5, proxy.resume).start()
        elif fault == "cut":
            proxy.cut()
        else:
            proxy.half_close(fault)

    faults, backends = iter([hurt]), []

    def work(connection):
        backends.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
        for fault in faults:
            add(connection)  # holds a lock in which the next attempt would run
            fault()
        return add(connection, x=2)

    assert through.run(work, answer_seconds=0.3) == "added"
    assert through.look(found) == [2]
    count = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
    assert len(backends) == 2
    assert postgres.execute(count, backends[0]) == [(0,)]


def test_a_pooled_connection_that_went_silent_is_replaced(through, proxy):
    assert through.run(add) == "added"
    proxy.half_close("server")
    assert through.run(found, answer_seconds=0.3) == [1]


def test_who_is_asked_to_end_waits_no_longer_for_an_answer(through, proxy, monkeypatch):
    """A silent network, whose answer is waited for 90 s otherwise; Slurm kills after 30 s."""
    monkeypatch.setattr(postgresql, "ENDING_SECONDS", 0.2)
    asked, went_on = threading.Event(), []

    def work(connection):
        proxy.silence()
        threading.Timer(0.3, asked.set).start()
        connection.execute(text("SELECT 1"))
        went_on.append(True)

    through.patience = Patience(seconds=60.0, give_up=asked.is_set)
    with pytest.raises(StorageError, match=r"no answer within 0\.2 s"):
        through.run(work)
    assert went_on == []
    proxy.resume()
    through.patience = PATIENT
    assert through.look(found) is None


def test_a_slow_network_is_no_outage(through, proxy, caplog):
    proxy.delay(0.02)
    assert through.run(add) == "added"
    assert not caplog.records


def test_a_stopped_process_does_not_hold_what_it_locked(through):
    """As after SIGSTOP within a transaction: the server ends it, and it is done again."""
    pauses = iter([0.3])

    def work(connection):
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '100ms'"))
        for pause in pauses:
            time.sleep(pause)
        return add(connection)

    assert through.run(work, recall=found) == "added"


def test_what_would_fail_again_is_raised_at_once(database):
    database.patience = PATIENT
    with pytest.raises(DBAPIError, match="nowhere"):
        database.run(lambda connection: connection.execute(text("SELECT nowhere")))


def dead(password="secret"):
    url = make_url(f"postgresql+psycopg://anna:{password}@127.0.0.1:9/work")
    return Database(Location(url=url, source="test"))


@pytest.mark.parametrize(
    "patience", [Patience(seconds=0.3), Patience(seconds=600, give_up=lambda: True)]
)
def test_when_time_is_up_one_line_says_which_database(patience):
    database = dead()
    database.patience = patience
    with pytest.raises(
        StorageError, match=r"^storage postgresql://anna:...@127.0.0.1:9/work"
    ) as up:
        database.run(found)
    assert "\n" not in str(up.value)
    assert "secret" not in str(up.value)


def test_waiting_is_said_at_first_and_then_now_and_again(monkeypatch, caplog):
    monkeypatch.setattr(outages, "TELL_SECONDS", 0.0)
    database = dead()
    database.patience = Patience(seconds=600, give_up=lambda: len(caplog.records) == 3)
    with pytest.raises(StorageError):
        database.look(found)
    first, *later = (record.message for record in caplog.records)
    assert first.startswith("the database does not answer; waiting: ")
    assert later
    assert all(line.startswith("waiting for the database since 0 min") for line in later)


def test_a_full_disk_is_waited_for_beyond_the_window(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(outages, "LONGEST_PAUSE", 0.05)
    with patient(f"sqlite:///{tmp_path}/study.db", seconds=0.01) as database:
        rooms = iter([4, 4, 4, 4, 4, 1000])

        def work(connection):
            connection.execute(text(f"PRAGMA max_page_count = {next(rooms)}"))
            for x in range(3000):
                add(connection, x)
            return "added"

        assert database.run(work) == "added"
        assert len(database.look(found)) == 3000
    assert "the database has no room" in caplog.text
    assert "the database answers again" in caplog.text


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a file system")
    yield folder
    gc.collect()  # a connection that has failed is closed when it is found to be garbage
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder):
    """Take all the room that there is; the file that has it."""
    file = folder / "somebody's"
    with file.open("ab", buffering=0) as taken, contextlib.suppress(OSError):
        while True:
            taken.write(bytes(4096))
    return file


@pytest.mark.parametrize("pooled", [True, False])
def test_a_database_on_a_full_disk_goes_on_when_there_is_room(small_disk, pooled, caplog):
    with patient(f"sqlite:///{small_disk}/study.db", seconds=0.01) as database:
        database.set_wal()
        database.run(add)
        if not pooled:
            database.close()
        taken = fill(small_disk)

        def make_room():
            until(lambda: "the database has no room" in caplog.text)
            taken.unlink()

        release = threading.Thread(target=make_room)
        release.start()

        def work(connection):
            for x in range(10, 3000):
                add(connection, x)
            return "added"

        assert database.run(work) == "added"
        release.join()
        with database.read() as connection:
            assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
            assert len(found(connection)) == 2991


def test_a_lock_held_beyond_the_busy_timeout_is_waited_for(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / "study.db"
    with patient(f"sqlite:///{path}"):
        location = Location(url=make_url(f"sqlite:///{path}"), source="test")
        database = Database(location, busy_seconds=0.05)
        database.patience = PATIENT
        with closing(sqlite3.connect(path, check_same_thread=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            release = threading.Timer(0.5, other.rollback)
            release.start()
            assert database.run(add) == "added"
            release.join()
        database.close()
    assert not caplog.records


# Sessions on a server


def settings(url, *names):
    with opened(url) as database, database.begin() as connection:
        return [connection.execute(text(f"SHOW {name}")).scalar_one() for name in names]


def test_a_server_ends_what_takes_too_long(postgres, monkeypatch):
    names = ("statement_timeout", "idle_in_transaction_session_timeout", "tcp_keepalives_idle")
    url = postgres.url("postgres")
    assert settings(url, *names) == ["1min", "15s", "60"]
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=7s")
    assert settings(url, *names) == ["7s", "15s", "60"]
    own = "?options=-c%20statement_timeout%3D5s"
    assert settings(url + own, "statement_timeout", "search_path") == ["5s", "lrsearch"]


def test_an_upgrade_takes_as_long_as_it_takes(through):
    before = answer_seconds.set(0.2)
    with through.begin() as connection, unhurried(connection):
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "0"
        connection.execute(text("SELECT pg_sleep(0.5)"))
    words = r"no answer within 0\.2 s"
    with pytest.raises(StorageError, match=words), through.begin() as connection:
        connection.execute(text("SELECT pg_sleep(0.5)"))
    answer_seconds.reset(before)


def client_settings(url):
    with opened(url) as database, database.begin() as connection:
        return connection.connection.driver_connection.info.get_parameters()


def test_a_users_own_timeouts_are_kept(postgres):
    url = postgres.url("postgres")
    assert client_settings(url)["tcp_user_timeout"] == "60000"
    own = client_settings(f"{url}?tcp_user_timeout=5000&keepalives_idle=9")
    assert (own["tcp_user_timeout"], own["keepalives_idle"]) == ("5000", "9")
