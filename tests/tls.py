"""A certificate of one's own, and TLS in front of a PostgreSQL server that has none."""

import contextlib
import select
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

#: What a client asks before it speaks TLS (protocol 3.0, "SSLRequest").
SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)


@dataclass(frozen=True)
class Certificate:
    """Of `localhost`, and of the authority that signed it."""

    authority: Path
    certificate: Path
    key: Path


def certificate(folder):
    """A new authority and what it has signed, made by the openssl command."""
    folder.mkdir()
    names = ("authority.pem", "authority.key", "server.pem", "server.key", "server.csr")
    authority, authority_key, server, key, request = (folder / name for name in names)
    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl(*new, "-x509", "-subj", "/CN=authority", "-keyout", authority_key, "-out", authority)
    _openssl(*new, "-subj", "/CN=localhost", "-keyout", key, "-out", request)
    names_file = folder / "names"
    names_file.write_text("subjectAltName=DNS:localhost")
    signed = ["-CA", authority, "-CAkey", authority_key, "-CAcreateserial", "-extfile", names_file]
    _openssl("x509", "-req", "-in", request, *signed, "-out", server)
    return Certificate(authority=authority, certificate=server, key=key)


def _openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


class TlsProxy:
    """Listens with TLS and forwards to a port of 127.0.0.1 that has none."""

    def __init__(self, port_of_server, certificate):
        self._server = ("127.0.0.1", port_of_server)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.certificate, certificate.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        # A client that does not trust the certificate ends the connection in the midst.
        with contextlib.suppress(OSError), client:
            if client.recv(len(SSL_REQUEST), socket.MSG_WAITALL) != SSL_REQUEST:
                return
            client.sendall(b"S")
            with (
                self._context.wrap_socket(client, server_side=True) as trusted,
                socket.create_connection(self._server) as server,
            ):
                _forward(trusted, server)


def _forward(trusted, server):
    """By one thread: a TLS socket is not for two."""
    while True:
        ready = [trusted] if trusted.pending() else select.select([trusted, server], [], [])[0]
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            (server if source is trusted else trusted).sendall(data)
