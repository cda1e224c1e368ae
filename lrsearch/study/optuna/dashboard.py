"""optuna-dashboard of a database, on this machine alone."""

from collections.abc import Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from lrsearch.errors import LrsearchError
from lrsearch.storage.database import Database
from lrsearch.study.optuna.storage import optuna_storage

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

#: Nobody but this machine is answered.
LOOPBACK = "127.0.0.1"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Requests are nobody's news."""


def dashboard_server(database: Database) -> WSGIServer:
    """A server that is bound to a free port of 127.0.0.1, and answers once it serves.

    It shows and, other than lrsearch's own pages, writes what its user asks for (notes, tags).
    Raises LrsearchError where optuna-dashboard is not installed.
    """
    try:
        from optuna_dashboard import wsgi
    except ImportError as error:
        raise LrsearchError(
            "--optuna: optuna-dashboard is not installed; pip install optuna-dashboard"
        ) from error
    server = _Server((LOOPBACK, 0), _Quiet)
    server.set_app(_only_as(server.server_port, wsgi(optuna_storage(database))))
    return server


def _only_as(port: int, app: "WSGIApplication") -> "WSGIApplication":
    """The app for who calls it by the names of this machine: no page elsewhere can (DNS rebinding,
    which gives a name of its own our address).
    """
    hosts = {f"{LOOPBACK}:{port}", f"localhost:{port}"}

    def checked(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        if environ.get("HTTP_HOST") not in hosts:
            start("421 Misdirected Request", [("Content-Type", "text/plain")])
            return [b"another host"]
        return app(environ, start)

    return checked
