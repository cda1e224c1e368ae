"""`lrsearch db serve`: a PostgreSQL server that anyone can start, killed and restored elsewhere."""

import os
import re
import signal
import socket
import stat

import psutil
import psycopg
import pytest
from processes import Command, until
from sites import assert_exact, opened_site, what_came_out
from tiny_studies import make_study

from lrsearch.study.open_study import OpenStudy
from lrsearch.study.prepare_database import prepare


class Served:
    """`lrsearch db serve` on a folder and a port."""

    def __init__(self, folder, programs, work, data="data"):
        self.data, self._programs, self._work = folder / data, programs, work
        self.port = free_port()
        self.command = None

    def start(self):
        """Start it, again after `kill`; its URL with the password."""
        words = ["db", "serve", "--data", self.data, "--port", self.port]
        if self._programs is not None:
            words += ["--bin", self._programs, "--user", "nobody"]
        self.command = Command(*words, folder=self._work)
        until(lambda: "export LRSEARCH_STORAGE" in self.command.out or not self.command.alive)
        assert self.command.alive, self.command.err
        password = (self.data / "pgpass").read_text().strip().rpartition(":")[2]
        return f"postgresql://lrsearch:{password}@127.0.0.1:{self.port}/lrsearch"

    def kill(self):
        """kill -9: PostgreSQL sees that its parent is gone."""
        servers = psutil.Process(self.command.pid).children()
        self.command.signal(signal.SIGKILL)
        self.command.wait()
        return servers

    def stop(self):
        if self.command is not None and self.command.alive:
            self.command.signal(signal.SIGTERM)
            assert self.command.wait() == 0, self.command.err


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def served(server_folder, programs, tmp_path):
    """Makes servers, which end with the test."""
    made = []

    def make(data="data"):
        made.append(Served(server_folder, programs, tmp_path / "shell", data))
        return made[-1]

    yield make
    for server in made:
        server.stop()


def test_a_server_that_is_killed_and_restored_elsewhere_loses_nothing(served, tmp_path, programs):
    first = served()
    url = first.start()
    bin_option = [] if programs is None else ["--bin", programs]
    with opened_site(url, tmp_path) as site:
        prepare(site.database)
        make_study(site.database)
        site.say("slow")
        worker = site.worker()
        until(lambda: site.ended() >= 2)
        servers = first.kill()
        psutil.wait_procs(servers)
        assert first.start() == url  # the same password
        site.say("")
        worker.succeed()
        assert_exact(site.search)
        site.command("db", "backup", "all.backup", *bin_option).succeed()
        backup = site.folder / "all.backup"
        assert stat.S_IMODE(backup.stat().st_mode) == 0o600
        before = what_came_out(site.search)
        shown = site.command("study", "show", "tiny", "--json").succeed()
    first.stop()
    second = served("elsewhere")
    (tmp_path / "elsewhere").mkdir()
    with opened_site(second.start(), tmp_path / "elsewhere") as site:
        site.command("db", "restore", backup, *bin_option).succeed()
        assert what_came_out(OpenStudy.open(site.database, "tiny")) == before
        again = site.command("study", "show", "tiny", "--json").succeed()
        assert without_place(again) == without_place(shown)
        refused = site.command("db", "restore", backup, *bin_option)
        assert refused.wait() == 1
        assert "holds lrsearch's tables already" in refused.err


def without_place(text):
    """A document without the server's address."""
    return re.sub(r"127\.0\.0\.1:\d+", "", text)


def test_what_it_makes_is_private_and_its_role_no_superuser(served):
    server = served()
    url = server.start()
    for path in (server.data / "pgpass", server.data / "superuser.pgpass"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((server.data / "data").stat().st_mode) == 0o700
    assert not (server.data / "password").exists()
    with psycopg.connect(url) as connection:
        query = "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = %s"
        assert connection.execute(query, ["lrsearch"]).fetchone() == (False, False, False)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(re.sub(r":[0-9a-f]+@", ":wrong@", url))


def test_one_line_for_a_second_server_on_its_data_or_port(served, programs, tmp_path):
    server = served()
    server.start()
    root = [] if programs is None else ["--bin", programs, "--user", "nobody"]
    cases = {
        ("--data", str(server.data), "--port", free_port()): "a server already runs on it",
        ("--data", str(server.data) + "2", "--port", server.port): "a free port are accepted",
        ("--data", str(programs or tmp_path), "--port", free_port()): "holds other files",
    }
    for words, expected in cases.items():
        (tmp_path / "other").touch()
        command = Command("db", "serve", *words, *root, folder=tmp_path / "work")
        assert command.wait() == 1
        assert command.err.count("\n") == 1
        assert expected in command.err


@pytest.mark.skipif(os.getuid() != 0, reason="of root alone")
@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("root", "PostgreSQL does not run as root; name an ordinary user with --user"),
        ("nosuchuser", "there is no user 'nosuchuser'; name one with --user"),
    ],
)
def test_root_names_an_ordinary_user(user, expected, tmp_path):
    command = Command("db", "serve", "--data", "data", "--user", user, folder=tmp_path / "work")
    assert command.wait() == 1
    assert expected in command.err
    assert not (tmp_path / "work" / "data").exists()
