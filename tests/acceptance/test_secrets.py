"""A password in the database's URL shows nowhere: in no argument of a process, no output, no log,
no report, no file, no row; and a server proves who it is before it is told one."""

import contextlib
import pickle
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from command import run_command
from processes import Command
from sqlalchemy import make_url
from tiny_studies import TASKS, make_study, opened
from tls import TlsProxy, certificate

CANARY = "xK7canaryQ2"


@pytest.fixture(scope="module")
def canary_url(postgres):
    """A new database of a role whose password is the canary."""
    name = postgres.create()
    postgres.execute(f"CREATE ROLE keeper LOGIN PASSWORD '{CANARY}'")
    postgres.execute(f"ALTER DATABASE {name} OWNER TO keeper")
    yield postgres.url(name, user="keeper", password=CANARY)
    postgres.drop(name)
    postgres.execute("DROP ROLE keeper")


def arguments():
    """Those of all processes that there are."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            yield process.cmdline()


def contents(folder):
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_a_password_shows_nowhere(postgres, canary_url, tmp_path):
    secret = tmp_path / "secret" / "storage"
    secret.parent.mkdir()
    secret.write_text(canary_url + "\n")
    folder = tmp_path / "work"
    url = make_url(canary_url)
    shown, commands = [], []

    def command(*words, **environment):
        environment = {"LRSEARCH_STORAGE_FILE": str(secret), **environment}
        commands.append(Command(*words, folder=folder, fresh_workers=True, **environment))
        while commands[-1].alive:
            shown.append(list(arguments()))
            time.sleep(0.05)
        return commands[-1].wait()

    log = ("-v", "--log-file", "lrsearch.log")
    assert command("db", "init", *log) == 0
    assert command("run", TASKS / "tiny.yaml", "--trials", "4", "--workers", "1", *log) == 0
    assert command("study", "show", "tiny", "--json", *log) == 0
    assert command("export", "tiny", "--out", "best.yaml", *log) == 0
    assert command("db", "grants") == 0
    wrong = url.set(username="postgres").render_as_string(hide_password=False)
    assert command("study", "list", *log, LRSEARCH_STORAGE=wrong) == 1
    dead = url.set(port=9).render_as_string(hide_password=False)
    assert command("run", TASKS / "tiny.yaml", *log, LRSEARCH_STORAGE=dead) == 1
    broken = f"postgresql://keeper:{CANARY}@127.0.0.1:x/work"
    assert command("study", "list", *log, LRSEARCH_STORAGE=broken) == 1
    query = f"postgresql://127.0.0.1:9/work?user=keeper&password={CANARY}"
    assert command("study", "list", *log, LRSEARCH_STORAGE=query) == 1
    found = contents(folder)
    found |= {f"{i} {c.words}": (c.out + c.err).encode() for i, c in enumerate(commands)}
    found["arguments"] = repr(shown).encode()
    found["rows"] = dump(postgres, url.database)
    assert b"tiny" in found["rows"]
    assert any("lrsearch.log" in name for name in found)
    assert any("report.html" in name for name in found)
    assert [name for name, content in found.items() if CANARY.encode() in content] == []
    secret.unlink()


def dump(postgres, database):
    command = [postgres.binaries / "pg_dump", "--inserts", postgres.url(database)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_a_password_is_in_no_repr_and_no_pickle(database, canary_url):
    with opened(canary_url) as other:
        things = [other, other.location, other.engine, other.engine.url, other.engine.pool]
        things += [other.location.url, make_study(database)]
        things[-1].database = other
        for thing in things:
            assert CANARY not in repr(thing)
            assert CANARY not in str(thing)
            if thing is not other.location.url:  # SQLAlchemy's own, which is never handed on
                with contextlib.suppress(TypeError, AttributeError, pickle.PicklingError):
                    assert CANARY.encode() not in pickle.dumps(thing)


def test_a_password_file_is_enough(canary_url, tmp_path):
    url = make_url(canary_url)
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:{url.port}:*:keeper:{CANARY}\n")
    file.chmod(0o600)
    bare = f"postgresql://keeper@127.0.0.1:{url.port}/{url.database}"
    folder = tmp_path / "work"
    folder.mkdir()
    ended = run_command("db", "init", "--storage", bare, folder=folder, PGPASSFILE=str(file))
    assert ended.code == 0, ended.err
    assert run_command("db", "check", "--storage", bare, folder=folder).code == 1


@pytest.mark.parametrize(
    "part", ["anna:secret@h/db", "h/db?password=secret", "h/?sslpassword=secret"]
)
def test_a_password_on_the_command_line_is_refused(tmp_path, part):
    folder = tmp_path / "work"
    folder.mkdir()
    ended = run_command("db", "check", "--storage", f"postgresql://{part}", folder=folder)
    assert ended.code == 1
    assert "must not hold a password" in ended.err
    assert "secret" not in ended.err


# TLS


def test_a_server_proves_who_it_is(postgres, tmp_path):
    """The wheel's server has no TLS, so a proxy speaks it in front of one."""
    ours, theirs = certificate(tmp_path / "ours"), certificate(tmp_path / "theirs")
    proxy = TlsProxy(postgres.port, ours)
    folder = tmp_path / "work"
    folder.mkdir()
    url = make_url(postgres.url("postgres")).set(host="localhost", port=proxy.port)

    def check(root, host="localhost"):
        query = {"sslmode": "verify-full", "sslrootcert": str(root)}
        text = url.set(host=host, query=query).render_as_string(hide_password=False)
        return run_command("db", "init", folder=folder, LRSEARCH_STORAGE=text)

    try:
        trusted = check(ours.authority)
        assert trusted.code == 0, trusted.err
        for refused in (check(theirs.authority), check(ours.authority, "127.0.0.1")):
            assert refused.code == 1
            assert len(refused.err.splitlines()) == 1
            assert refused.err.startswith("Error: storage postgresql://")
            assert "certificate" in refused.err
            assert postgres.password not in refused.err
    finally:
        proxy.close()
    postgres.execute("DROP SCHEMA lrsearch CASCADE")
