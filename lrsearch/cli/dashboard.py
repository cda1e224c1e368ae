"""The command that serves reports on this machine: dashboard."""

import signal
import threading
from collections.abc import Sequence
from socketserver import BaseServer
from types import FrameType
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import click

from lrsearch.cli.options import announce
from lrsearch.cli.output import say
from lrsearch.cli.reading import reading

if TYPE_CHECKING:
    from lrsearch.report.dashboard.server import Server
    from lrsearch.report.dashboard.site import Site
    from lrsearch.storage.location import Location

#: Of the dashboard, where none is named.
PORT = 8765


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    metavar="PORT",
    help="Port on 127.0.0.1; 0 takes a free one.",
)
@click.option("--optuna", is_flag=True, help="Serve optuna-dashboard of the same database as well.")
@reading
def dashboard(name: str | None, port: int, optuna: bool, storage: "Location") -> None:
    """Show the reports of all studies in a browser, new while they run.

    The first line is the address; with NAME that of a study's report. Only this machine is
    answered, and nothing is written. A report is made anew when its study has gone on. Ctrl-C ends
    the server and no study.

    \b
    Example:
      lrsearch dashboard digits
    """
    from lrsearch.report.dashboard import pages
    from lrsearch.report.dashboard.site import Site
    from lrsearch.study.prepare_database import open_database
    from lrsearch.study.stored_study import StoredStudy

    database = open_database(storage)
    if name is not None:
        StoredStudy.open(database, name)
    site, servers = Site(database), []
    if optuna:
        from lrsearch.study.optuna.dashboard import dashboard_server

        beside = dashboard_server(database)
        servers.append(beside)
        site.optuna = f"http://127.0.0.1:{beside.server_port}/"
    server = _bound(site, port)
    say(server.url if name is None else urljoin(server.url, pages.study_path(name)))
    announce(database)
    if site.optuna is not None:
        say(f"optuna-dashboard: {site.optuna}")
    _serve([server, *servers])


def _bound(site: "Site", port: int) -> "Server":
    """Raises LrsearchError where the port is taken or not allowed."""
    from lrsearch.errors import LrsearchError
    from lrsearch.report.dashboard.server import Server

    try:
        return Server(site, port)
    except OSError as error:
        raise LrsearchError(
            f"--port {port}: {error.strerror or error}; take another one, or 0 for a free one"
        ) from error


def _serve(servers: "Sequence[BaseServer]") -> None:
    """Until Ctrl-C or SIGTERM: both end it in order, with exit code 0."""
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for thread in threads:
            thread.start()
        ended.wait()
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
        for number, handler in before.items():
            signal.signal(number, handler)


COMMANDS = (dashboard,)
