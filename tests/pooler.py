"""Debian's pgbouncer before a PostgreSQL server."""

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from postgres import ORDINARY_USER, free_port
from processes import until

PGBOUNCER = shutil.which("pgbouncer", path=f"/usr/sbin:{os.environ['PATH']}")
SETTINGS = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {size}
server_login_retry = 1
"""


class Pooler:
    """A pgbouncer of its own before a server on 127.0.0.1, for the role `postgres`."""

    def __init__(self, port_of_server, password, mode, *, size=20):
        """`mode` is pgbouncer's `pool_mode`, `size` how many sessions of the server it has."""
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="lrsearch-pgbouncer-"))
        (self._folder / "users").write_text(f'"postgres" "{password}"\n')
        fields = {"server": port_of_server, "folder": self._folder, "mode": mode, "size": size}
        (self._folder / "ini").write_text(SETTINGS.format(port=self.port, **fields))
        self._as_user, self._process = {}, None
        if os.getuid() == 0:  # it refuses to run as root
            self._folder.chmod(0o755)
            self._as_user = {"user": ORDINARY_USER, "group": ORDINARY_USER, "extra_groups": []}

    def start(self):
        """Start it, again after `kill`, and wait until it listens."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [PGBOUNCER, str(self._folder / "ini")], stdout=log, stderr=log, **self._as_user
            )
        until(lambda: self._process.poll() is not None or listens(self.port))
        assert self._process.poll() is None, (self._folder / "log").read_text()

    def kill(self):
        self._process.kill()
        self._process.wait()

    def close(self):
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._folder)


@contextmanager
def pooled(server, mode, *, size=20):
    """The port of a pooler of this mode before the server."""
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed")
    pooler = Pooler(server.port, server.password, mode, size=size)
    try:
        pooler.start()
        yield pooler.port
    finally:
        pooler.close()


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def sees_own_backend(url):
    """Whether the server's process is the one that a client is told of: no pooler is between."""
    with psycopg.connect(url) as connection:
        [(pid,)] = connection.execute("SELECT pg_backend_pid()").fetchall()
        return pid == connection.info.backend_pid
