"""A password goes to another machine encrypted, or not at all, unless `sslmode=disable` is told."""

import contextlib
import os
import shutil
import socket
import ssl
import threading
from pathlib import Path

import psycopg
import pytest
from postgres import Server
from sqlalchemy import make_url
from tls import SSL_REQUEST, certificate

from lrsearch.errors import StorageError
from lrsearch.storage import encryption, postgresql

PASSWORD = "xK7canaryQ2"
#: Where Debian has a server that speaks TLS.
DEBIANS = Path("/usr/lib/postgresql/15/bin")
#: Authentication requests (protocol 3.0, "AuthenticationRequest").
CLEAR_TEXT, MD5 = (3).to_bytes(4), (5).to_bytes(4) + b"salt"


class FakeServer:
    """Speaks the beginning of the protocol, asks for a password, and keeps what it was told."""

    def __init__(self, asks, certificate=None):
        self.asks = asks
        #: What came after a startup message, and whether that was within TLS.
        self.told = []
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate.certificate, certificate.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self):
        with contextlib.suppress(OSError):  # closed
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                with contextlib.suppress(OSError), client:
                    self._serve(client)

    def _serve(self, client):
        first = client.recv(8, socket.MSG_WAITALL)
        if first == SSL_REQUEST:
            client.sendall(b"S" if self._context else b"N")
            if self._context:
                client = self._context.wrap_socket(client, server_side=True)
            first = client.recv(8)
        client.recv(int.from_bytes(first[:4]) - len(first))
        client.sendall(b"R" + (4 + len(self.asks)).to_bytes(4) + self.asks)
        told = client.recv(1000)
        self.told.append((told, isinstance(client, ssl.SSLSocket)))
        reason = b"SFATAL\0C28P01\0Mpassword authentication failed\0\0"
        client.sendall(b"E" + (4 + len(reason)).to_bytes(4) + reason)

    def open_session(self, **query):
        """Raises whatever comes of it, as this server lets nobody in."""
        url = make_url(f"postgresql://anna:{PASSWORD}@127.0.0.1:{self.port}/work")
        postgresql.open_session(url.set(query=query)).close()

    def told_in_clear_text(self):
        """After the last session, whose end the server waits for."""
        self.close()
        return [told for told, encrypted in self.told if not encrypted and told]


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture
def serving():
    """Makes fake servers, and ends them."""
    with contextlib.ExitStack() as stack:
        yield lambda *given: stack.enter_context(contextlib.closing(FakeServer(*given)))


@pytest.fixture
def elsewhere(monkeypatch):
    """127.0.0.1 stands for another machine."""
    monkeypatch.setattr(encryption, "is_local", lambda host: False)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "/run/postgresql",
        "@abstract",
        "localhost",
        "LOCALHOST.",
        "127.0.0.1",
        "127.8.9.1",
        "::1",
    ],
)
def test_this_machine_is_known(host):
    assert encryption.is_local(host)


@pytest.mark.parametrize(
    "host", ["db", "localhost.evil.org", "10.0.0.1", "fe80::1%eth0", "127.evil.org", "0.0.0.0"]
)
def test_another_machine_is_known(host):
    assert not encryption.is_local(host)


@pytest.mark.parametrize("mode", [None, "prefer", "allow"])
def test_no_password_goes_in_clear_text_to_another_machine(serving, elsewhere, mode):
    server = serving(CLEAR_TEXT)
    with pytest.raises(StorageError) as error:
        server.open_session(**({} if mode is None else {"sslmode": mode}))
    assert "127.0.0.1 has no TLS" in str(error.value)
    assert "sslmode=disable" in str(error.value)
    assert "\n" not in str(error.value)
    assert PASSWORD not in str(error.value)
    assert server.told_in_clear_text() == []


@pytest.mark.parametrize("name", ["PGHOST", "PGHOSTADDR"])
def test_nor_where_the_environment_names_the_machine(serving, monkeypatch, name):
    monkeypatch.setattr(encryption, "is_local", lambda host: host in ("", "localhost"))
    server = serving(CLEAR_TEXT)
    monkeypatch.setenv(name, "127.0.0.1")
    url = make_url(f"postgresql://anna:{PASSWORD}@/work?port={server.port}")
    with pytest.raises(StorageError, match="has no TLS"):
        postgresql.open_session(url)
    assert server.told_in_clear_text() == []


def test_nor_where_a_service_file_names_it(serving, elsewhere, monkeypatch, tmp_path):
    server = serving(CLEAR_TEXT)
    file = tmp_path / "services"
    file.write_text(f"[mine]\nhost=127.0.0.1\nport={server.port}\nuser=anna\npassword={PASSWORD}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    with pytest.raises(StorageError, match="the server has no TLS"):
        postgresql.open_session(make_url("postgresql:///work?service=mine"))
    assert server.told_in_clear_text() == []


def test_an_older_libpq_speaks_tls_or_not_at_all(serving, elsewhere, monkeypatch):
    monkeypatch.setattr(encryption, "KNOWS_METHODS", 10**9)
    server = serving(CLEAR_TEXT)
    with pytest.raises(StorageError, match="has no TLS"):
        server.open_session()
    assert server.told_in_clear_text() == []


def test_within_tls_it_goes(serving, elsewhere, ours):
    server = serving(CLEAR_TEXT, ours)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        server.open_session()
    assert server.told_in_clear_text() == []
    assert PASSWORD.encode() in server.told[-1][0]


def test_with_sslmode_disable_it_goes(serving, elsewhere):
    server = serving(CLEAR_TEXT)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        server.open_session(sslmode="disable")
    assert PASSWORD.encode() in server.told_in_clear_text()[0]


def test_on_this_machine_it_goes(serving):
    server = serving(CLEAR_TEXT)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        server.open_session()
    assert PASSWORD.encode() in server.told_in_clear_text()[0]


def test_a_server_without_tls_may_ask_for_a_hash(serving, elsewhere):
    server = serving(MD5)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        server.open_session()
    assert len(server.told) == 1
    assert PASSWORD.encode() not in server.told[0][0]


# Debian's server


class TlsServer(Server):
    """Speaks TLS; the role `clear` is asked for its password in clear text, on every connection."""

    def __init__(self, certificate):
        super().__init__(ssl="on", ssl_cert_file="server.pem", ssl_key_file="server.key")
        self._certificate = certificate
        self._no_tls = {}

    def _executable(self, folder):
        return DEBIANS

    def _initialize(self):
        secret = self._folder / "password"
        secret.write_text(self.password)
        how = ["--auth=scram-sha-256", f"--pwfile={secret}", "--username=postgres", "-N"]
        self._run(self.binaries / "initdb", *how, "--locale=C", "-D", self._data)
        for name, path in (
            ("server.pem", self._certificate.certificate),
            ("server.key", self._certificate.key),
        ):
            shutil.copy(path, self._data / name)
            (self._data / name).chmod(0o600)
            if os.getuid() == 0:
                shutil.chown(self._data / name, self._as_user["user"], self._as_user["group"])
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"host all clear 127.0.0.1/32 password\n{rules.read_text()}")


@pytest.fixture(scope="module")
def debians(ours):
    if not DEBIANS.is_dir():
        pytest.skip("Debian's package postgresql-15 is not installed")
    server = TlsServer(ours)
    try:
        server.start()
        server.execute(f"CREATE ROLE clear LOGIN PASSWORD '{PASSWORD}'")
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("role", ["postgres", "clear"])
def test_a_server_with_tls_is_spoken_to_within_it(debians, elsewhere, role):
    own = {} if role == "postgres" else {"user": role, "password": PASSWORD}
    with contextlib.closing(postgresql.open_session(make_url(debians.url("postgres", **own)))) as s:
        assert s.pgconn.ssl_in_use
        found = s.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        assert found == (True,)


def test_a_server_that_turns_tls_off_is_spoken_to_by_scram_and_not_in_clear_text(
    debians, elsewhere
):
    debians.settings["ssl"] = "off"
    debians.restart()
    try:
        with contextlib.closing(postgresql.open_session(make_url(debians.url("postgres")))) as s:
            assert not s.pgconn.ssl_in_use
        url = debians.url("postgres", user="clear", password=PASSWORD)
        with pytest.raises(StorageError, match="has no TLS"):
            postgresql.open_session(make_url(url))
        postgresql.open_session(make_url(f"{url}?sslmode=disable")).close()
    finally:
        debians.settings["ssl"] = "on"
        debians.restart()
