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
server_idle_timeout = 5
{more}
"""


@contextmanager
def pooled(server, mode, *, size=20, more=""):
    """The port of a pooler of this mode before the server; `more` are lines of its settings."""
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed")
    folder, port = Path(tempfile.mkdtemp(prefix="lrsearch-pgbouncer-")), free_port()
    (folder / "users").write_text(f'"postgres" "{server.password}"\n')
    ini = folder / "pgbouncer.ini"
    fields = {"server": server.port, "folder": folder, "mode": mode, "size": size, "more": more}
    ini.write_text(SETTINGS.format(port=port, **fields))
    as_user = {}
    if os.getuid() == 0:
        folder.chmod(0o755)
        as_user = {"user": ORDINARY_USER, "group": ORDINARY_USER, "extra_groups": []}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([PGBOUNCER, str(ini)], stdout=log, stderr=log, **as_user)
    try:
        until(lambda: process.poll() is not None or listens(port))
        assert process.poll() is None, (folder / "log").read_text()
        yield port
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def sees_own_backend(url):
    """Whether the server's process is the one that a client is told of: no pooler is between."""
    with psycopg.connect(url) as connection:
        [(pid,)] = connection.execute("SELECT pg_backend_pid()").fetchall()
        return pid == connection.info.backend_pid
