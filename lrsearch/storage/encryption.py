"""A password goes to a server of another machine encrypted, or not at all, unless that is wished.

libpq's own default speaks TLS where the server does, but sends the password in clear text to any
server that asks for it and says that it has no TLS.
"""

import ipaddress
from collections.abc import Callable
from typing import TypeVar

import psycopg
from psycopg import pq

from lrsearch.errors import StorageError
from lrsearch.plain_data import Document

S = TypeVar("S")

#: `sslmode` by which a user wishes for no TLS; and those by which there is none without it.
WISHED = "disable"
ENCRYPTED = ("require", "verify-ca", "verify-full")
#: Every method by which a password can be asked for but that in clear text.
NO_CLEAR_TEXT = "!password"
#: The first libpq that knows `require_auth`; with an older one another machine must speak TLS.
KNOWS_METHODS = 160000
#: What libpq says, for which it has no code.
ASKED_IN_CLEAR_TEXT = "server requested a cleartext password"
HAS_NO_TLS = "does not support SSL"


def connect(make: Callable[..., S], arguments: Document) -> S:
    """A new connection by libpq's parameters, as `make` makes it.

    To another machine TLS is preferred, and a password is sent in clear text within TLS alone, or
    with `sslmode=disable`. Raises StorageError where a server wants it otherwise, and whatever
    `make` raises.
    """
    if not _is_at_risk(arguments):
        return make(**arguments)
    if pq.version() < KNOWS_METHODS:
        return _within_tls(make, arguments)
    try:
        return make(**arguments, require_auth=NO_CLEAR_TEXT)
    except psycopg.OperationalError as error:
        if ASKED_IN_CLEAR_TEXT not in str(error):
            raise
    return _within_tls(make, arguments)


def is_local(host: str) -> bool:
    """Whether a host of a URL is this machine: a socket's folder, or an address of the loopback."""
    if not host or host.startswith(("/", "@")) or host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _is_at_risk(arguments: Document) -> bool:
    """Whether libpq itself might send a password in clear text to another machine."""
    options = _options(arguments)
    if "service" in options and not options.keys() & {"host", "hostaddr"}:
        hosts = ["of a service"]  # whose file names the host
    else:
        hosts = (options.get("hostaddr") or options.get("host") or "").split(",")
    decided = options.get("sslmode") in (WISHED, *ENCRYPTED) or "require_auth" in options
    return not decided and not all(map(is_local, hosts))


def _options(arguments: Document) -> dict[str, str]:
    """libpq's parameters: those given, else those of its environment, PGHOST and so on."""
    defaults = {o.keyword.decode(): o.val.decode() for o in pq.Conninfo.get_defaults() if o.val}
    return defaults | {name: str(value) for name, value in arguments.items()}


def _within_tls(make: Callable[..., S], arguments: Document) -> S:
    try:
        return make(**{**arguments, "sslmode": "require"})
    except psycopg.OperationalError as error:
        if HAS_NO_TLS not in str(error):
            raise
        host = arguments.get("host") or "the server"
        raise StorageError(
            f"storage: {host} has no TLS, and a password is not sent there in clear text; turn TLS "
            f"on there, let it ask by scram-sha-256, or add sslmode=disable to the URL's query"
        ) from error
