"""The dashboard's HTTP server: GET and HEAD, on 127.0.0.1, for who names it so."""

from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from urllib.parse import unquote, urlsplit

from lrsearch.errors import LrsearchError, StorageError
from lrsearch.report.dashboard import pages
from lrsearch.report.dashboard.metrics import CONTENT_TYPE
from lrsearch.report.dashboard.site import Page, Site

#: Nobody but this machine is answered.
LOOPBACK = "127.0.0.1"
#: Files of this package, by their address: their content type.
ASSETS = {"/look.css": "text/css", "/follow.js": "text/javascript"}
#: Our pages load from this site alone. A report has its script in it, whose charts are compiled in
#: the browser, and may reach nothing.
OWN_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "frame-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline' 'unsafe-eval' blob:; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)


class Server(ThreadingHTTPServer):
    """Serves a site until it is shut down. Raises OSError where the port is taken."""

    daemon_threads = True

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        super().__init__((LOOPBACK, port), Handler)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    @cached_property
    def hosts(self) -> frozenset[str]:
        """What a request may call this server: a page elsewhere that had its own name point here
        (DNS rebinding) would call it by that name.
        """
        return frozenset(f"{host}:{self.server_port}" for host in (LOOPBACK, "localhost"))


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Server
    server_version, sys_version = "lrsearch", ""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Requests are nobody's news."""

    def _answer(self) -> None:
        if self.headers.get("Host") not in self.server.hosts:
            text = f"This server answers as {self.server.url} alone."
            self._problem(HTTPStatus.MISDIRECTED_REQUEST, "Another host", text)
            return
        path = unquote(urlsplit(self.path).path)
        try:
            self._answer_page(path)
        except StorageError as error:
            self._problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "The database does not answer", f"{error}"
            )
        except LrsearchError as error:
            title = "This cannot be shown"
            self._problem(HTTPStatus.INTERNAL_SERVER_ERROR, title, f"{error}")

    def _answer_page(self, path: str) -> None:
        if path in ASSETS:
            text = files(__package__).joinpath(path[1:]).read_text(encoding="utf-8")
            self._send(HTTPStatus.OK, text, kind=ASSETS[path])
            return
        site, policy = self.server.site, OWN_POLICY
        if path == "/metrics":
            self._send(HTTPStatus.OK, site.metrics(), kind=CONTENT_TYPE)
            return
        page: Page | None = None
        if path == "/":
            page = site.index()
        elif path.startswith("/study/") and path.endswith("/report.html"):
            name = path.removeprefix("/study/").removesuffix("/report.html")
            page, policy = site.report(name), REPORT_POLICY
        elif path.startswith("/study/"):
            page = site.frame(path.removeprefix("/study/"))
        if page is None:
            self._problem(HTTPStatus.NOT_FOUND, "Not here", f"There is no {path} in this database.")
        elif self.headers.get("If-None-Match") == page.etag:
            self._send(HTTPStatus.NOT_MODIFIED, "", policy=policy, etag=page.etag)
        else:
            self._send(HTTPStatus.OK, page.text, policy=policy, etag=page.etag)

    def _problem(self, status: HTTPStatus, title: str, text: str) -> None:
        self._send(status, pages.problem(title, text))

    def _send(
        self,
        status: HTTPStatus,
        text: str,
        *,
        kind: str = "text/html",
        policy: str = OWN_POLICY,
        etag: str | None = None,
    ) -> None:
        content = text.encode()
        self.send_response(status)
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", f"{len(content)}")
        if etag is not None:
            self.send_header("ETag", etag)
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Content-Security-Policy", policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        if self.command == "GET" and status != HTTPStatus.NOT_MODIFIED:
            self.wfile.write(content)
