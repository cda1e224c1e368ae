"""Every moment that a database may be in: what passes is waited for, what is final is one line."""

import os
import socketserver
import sqlite3
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url, text
from tiny_studies import make_study, opened

from lrsearch.errors import LrsearchError, StorageError, StudyError
from lrsearch.storage import outages, studies
from lrsearch.storage.moments import POSTGRESQL, SQLITE, Trouble, moment_of, trouble_of
from lrsearch.storage.outages import Patience
from lrsearch.study.open_study import OpenStudy
from lrsearch.trial.states import StudyState

PATIENT = Patience(seconds=60.0)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(outages, "LONGEST_PAUSE", 0.05)


@pytest.fixture
def pg(postgres_url):
    """A patient database on the server, as a worker has it."""
    with opened(postgres_url) as database:
        database.patience = PATIENT
        yield database


def works(connection):
    connection.execute(text("INSERT INTO lr_study_id (id) VALUES (1000)"))
    return "done"


def goes_on(database, provoke):
    """The result of a transaction whose first attempts meet what `provoke` does."""
    tries = []

    def work(connection):
        tries.append(connection)
        if len(tries) == 1:
            provoke(connection)
        return works(connection)

    assert database.run(work) == "done"
    assert len(tries) > 1


# Each row of the table, by the error that a real server sends


def raising(state):
    code = state if len(state) == 5 else (state + "000")[:5]
    return text(f"DO $$ BEGIN RAISE EXCEPTION 'words' USING ERRCODE = '{code}'; END $$")


@pytest.mark.parametrize("state", [s for s, m in POSTGRESQL.items() if m.trouble])
def test_what_passes_on_a_server_is_waited_for(pg, state):
    goes_on(pg, lambda connection: connection.execute(raising(state)))


@pytest.mark.parametrize("state", [s for s, m in POSTGRESQL.items() if not m.trouble])
def test_what_is_final_on_a_server_is_one_line(pg, state):
    for how in (pg.run, pg.look):
        with pytest.raises(LrsearchError, match=r"^storage postgresql://") as raised:
            how(lambda connection: connection.execute(raising(state)))
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("state", ["42601", "42703", "23505", "22003"])
def test_a_mistake_in_a_statement_is_neither(pg, state):
    with pytest.raises(psycopg.Error) as raised:
        pg.run(lambda connection: _driver_error(connection, raising(state)))
    assert moment_of(raised.value) is None


def _driver_error(connection, statement):
    """The driver's own, not SQLAlchemy's."""
    connection.connection.driver_connection.execute(str(statement))


@pytest.mark.parametrize("code", SQLITE)
def test_what_sqlite_says_is_waited_for_or_one_line(database_file, code):
    error = sqlite3.OperationalError("words")
    error.sqlite_errorcode = code

    def fail(connection):
        raise error

    if SQLITE[code].trouble:
        goes_on(database_file, fail)
    else:
        with pytest.raises(LrsearchError, match=r"^storage sqlite://"):
            database_file.run(fail)


@pytest.fixture
def database_file(sqlite_url):
    with opened(sqlite_url) as database:
        database.patience = PATIENT
        yield database


# Moments of a real server


def provoked(connection, *statements):
    for statement in statements:
        connection.execute(text(statement))


REAL = {
    "25P03": ["SET idle_in_transaction_session_timeout = '50ms'"],
    "57014": ["SET LOCAL statement_timeout = '50ms'", "SELECT pg_sleep(9)"],
    "57P01": ["SELECT pg_terminate_backend(pg_backend_pid())"],
    "25006": ["SET TRANSACTION READ ONLY", "INSERT INTO lr_study_id VALUES (1)"],
    "53200": ["SELECT pg_advisory_xact_lock(n) FROM generate_series(1, 1000000) AS n"],
    "53400": [
        "SET LOCAL temp_file_limit = '64kB'",
        "SET LOCAL work_mem = '64kB'",
        "SELECT count(*) FROM (SELECT n FROM generate_series(1, 1000000) AS n ORDER BY -n) AS s",
    ],
}


@pytest.mark.parametrize("state", REAL)
def test_a_real_moment_of_a_server_passes(pg, state):
    seen = []

    def provoke(connection):
        try:
            provoked(connection, *REAL[state])
            if state == "25P03":
                threading.Event().wait(0.3)
                connection.execute(text("SELECT 1"))
        except Exception as error:
            seen.append(error.orig.sqlstate)
            raise

    goes_on(pg, provoke)
    assert seen == [state]


def test_a_session_that_was_idle_for_too_long_is_replaced(pg):
    with pg.begin() as connection:
        connection.execute(text("SET idle_session_timeout = '50ms'"))
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with opened(pg.location.url) as other:
        gone = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
        while True:
            with other.begin() as connection:
                if not connection.execute(gone, {"pid": pid}).scalar_one():
                    break
    assert pg.run(works) == "done"


def test_sessions_of_a_read_only_moment_are_replaced(pg, postgres, caplog):
    """What began in it stays read-only, though the database takes writes again."""
    name = sql.Identifier(make_url(pg.location.url).database)
    postgres.execute(
        sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name)
    )
    pg.engine.dispose()
    pg.look(lambda connection: connection.execute(text("SELECT 1")).scalar())
    mend = sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only")
    back = back_after(0.3, postgres, mend.format(name))
    assert pg.run(works) == "done"
    back.join()
    assert "the database is read-only; waiting: " in caplog.text
    assert "the server is a replica or in maintenance" in caplog.text


@contextmanager
def role(postgres, *options):
    """A user that may do everything, with a password that tests change."""
    with_options = sql.SQL(
        " ".join(["CREATE ROLE changing SUPERUSER LOGIN PASSWORD 'old'", *options])
    )
    postgres.execute(with_options)
    try:
        yield
    finally:
        postgres.execute("DROP ROLE changing")


def back_after(seconds, postgres, statement):
    timer = threading.Timer(seconds, postgres.execute, [statement])
    timer.start()
    return timer


def test_a_changed_password_is_waited_for(postgres, postgres_url, caplog):
    name = make_url(postgres_url).database
    with role(postgres), opened(postgres.url(name, user="changing", password="old")) as database:
        with database.begin():
            pass
        database.patience = PATIENT
        database.engine.dispose()
        postgres.execute("ALTER ROLE changing PASSWORD 'new'")
        back = back_after(0.3, postgres, "ALTER ROLE changing PASSWORD 'old'")
        assert database.run(works) == "done"
        back.join()
    assert "the database does not answer" in caplog.text


class Refusing(socketserver.BaseRequestHandler):
    """A server that lets nobody in, and says why in its own language."""

    WORDS = "Passwort-Authentifizierung für Benutzer »anna« fehlgeschlagen"

    def handle(self):
        self.request.recv(8)
        self.request.sendall(b"N")  # no encryption
        self.request.recv(4096)
        fields = f"SFATAL\0C28P01\0M{self.WORDS}\0\0".encode()
        self.request.sendall(b"E" + struct.pack("!I", len(fields) + 4) + fields)


def test_the_words_of_a_refusal_are_not_looked_at():
    with socketserver.TCPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"postgresql://anna:x@127.0.0.1:{server.server_address[1]}/work"
        with opened(url) as database, pytest.raises(StorageError) as raised:
            database.look(lambda connection: None)
        server.shutdown()
    assert Refusing.WORDS in str(raised.value)
    assert trouble_of(raised.value.__cause__) is Trouble.AWAY


@pytest.mark.parametrize(
    ("harm", "mend"),
    [
        ("ALTER DATABASE {} RENAME TO for_a_while", "ALTER DATABASE for_a_while RENAME TO {}"),
        ("ALTER DATABASE {} ALLOW_CONNECTIONS false", "ALTER DATABASE {} ALLOW_CONNECTIONS true"),
        ("ALTER ROLE changing NOLOGIN -- {}", "ALTER ROLE changing LOGIN -- {}"),
        ("ALTER ROLE changing CONNECTION LIMIT 0 -- {}", "ALTER ROLE changing CONNECTION LIMIT 9"),
        (
            "ALTER ROLE changing VALID UNTIL '1999-01-01' -- {}",
            "ALTER ROLE changing VALID UNTIL 'infinity'",
        ),
    ],
)
def test_a_door_that_is_closed_for_a_while_is_waited_for(postgres, harm, mend):
    """Connections fail without SQLSTATE; the words are not looked at."""
    name = postgres.create()
    database_name = sql.Identifier(name)
    with role(postgres):
        postgres.execute("ALTER ROLE changing NOSUPERUSER")
        with opened(postgres.url(name, user="changing", password="old")) as database:
            database.look(lambda connection: None)
            database.patience = PATIENT
            database.engine.dispose()
            postgres.execute(sql.SQL(harm).format(database_name))
            back = back_after(0.3, postgres, sql.SQL(mend).format(database_name))
            assert database.look(lambda c: c.execute(text("SELECT 1")).scalar()) == 1
            back.join()
    postgres.drop(name)


def test_what_is_wrong_from_the_start_is_told_at_once(postgres, tmp_path):
    for url in (postgres.url("postgres", password="wrong"), postgres.url("nowhere")):
        with opened(url) as database, pytest.raises(StorageError) as raised:
            database.look(lambda connection: None)
        assert "\n" not in str(raised.value)


# SQLite


def test_an_sqlite_file_that_is_read_only_for_a_while(database_file, caplog):
    def provoke(connection):
        connection.exec_driver_sql("PRAGMA query_only = ON")

    goes_on(database_file, provoke)
    assert "the database is read-only; waiting: attempt to write a readonly database" in caplog.text


OUT_OF_MEMORY = """
import contextlib, sys
from sqlalchemy import text
from lrsearch.storage.database import Database
from lrsearch.storage.location import locate
from lrsearch.storage.outages import Patience
with contextlib.closing(Database(locate(sys.argv[1]))) as database:
    database.look(lambda c: c.execute(text("SELECT 1")).scalar())
    with database.begin() as c:
        c.exec_driver_sql("PRAGMA hard_heap_limit = 400000")
    database.patience = Patience(seconds=0.5)
    try:
        database.run(lambda c: c.execute(text("SELECT length(zeroblob(900000) || 'x')")).scalar())
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_sqlite_without_memory(sqlite_url):
    command = [sys.executable, "-c", OUT_OF_MEMORY, sqlite_url]
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.stdout.startswith("StorageError storage sqlite:///"), done.stderr
    assert done.stdout.rstrip().endswith("this machine is out of memory")


@pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
def test_a_file_that_goes_away_under_a_process_stops_it(sqlite_url, tmp_path, how):
    with opened(sqlite_url) as database:
        search = make_study(database)
        database.patience = PATIENT
        path = database.path
        if how == "removed":
            path.unlink()
        else:
            path.rename(tmp_path / "elsewhere.db")
        if how == "replaced":
            path.write_bytes((tmp_path / "elsewhere.db").read_bytes())
        database.engine.dispose()  # whether a connection is open or not
        for work in (database.run, database.look):
            with pytest.raises(StorageError, match=r"file was (moved or removed|replaced)"):
                work(lambda connection: studies.by_id(connection, search.study_id))
        assert path.exists() == (how == "replaced")


# One line


@pytest.mark.parametrize("how", ["begin", "read"])
def test_commands_are_told_in_one_line(pg, how):
    search = make_study(pg)

    def pause():
        with getattr(pg, how)() as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            studies.set_state(connection, search.study_id, StudyState.PAUSED)

    with pytest.raises(StorageError, match=r"^storage postgresql://") as raised:
        pause()
    assert "\n" not in str(raised.value)
    assert OpenStudy.open(pg, search.name).record.state == "open"


def test_a_row_of_a_deleted_study_is_a_study_error(pg):
    with pytest.raises(StudyError, match="the study was deleted"), pg.begin() as connection:
        studies.enqueue(connection, 999, "enqueued", {})


def test_every_row_says_what_to_do_or_is_waited_for():
    for moment in (*POSTGRESQL.values(), *SQLITE.values()):
        assert moment.trouble or moment.advice
