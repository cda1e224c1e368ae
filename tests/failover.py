"""A PostgreSQL server with a streaming replica, each behind a proxy: what was committed last may be
lost when the replica takes over."""

from contextlib import contextmanager

from postgres import Server
from processes import until
from proxy import Proxy


class Replica(Server):
    """A hot standby that follows a primary by streaming."""

    def __init__(self, primary, port, moved=None, **settings):
        """It reaches the primary at this port; `moved` are folders of its tables, by the old."""
        super().__init__(**settings)
        self.password, self._source = primary.password, primary.url("postgres", port=port)
        self._moved = moved or {}

    def _initialize(self):
        how = ["-R", "-N", "-X", "stream", "-c", "fast", "-D", self._data, "-d", self._source]
        for old, new in self._moved.items():
            how += ["-T", f"{old}={new}"]
        self._run(self.binaries / "pg_basebackup", *how)

    def promote(self):
        """Let it take writes, and no longer follow."""
        assert self.execute("SELECT pg_promote(true, 60)") == [(True,)]


class Pair:
    """A primary, its replica, and the port at which clients find the one that takes writes."""

    def __init__(self, primary, replica, clients, stream):
        self.primary, self.replica, self.clients, self.stream = primary, replica, clients, stream

    def url(self, database):
        """As clients connect."""
        return self.primary.url(database, port=self.clients.port)

    def catch_up(self):
        """Wait until the replica has all that the primary has."""
        [(position,)] = self.primary.execute("SELECT pg_current_wal_flush_lsn()")
        behind = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        until(lambda: self.replica.execute(behind, position) == [(True,)])

    def fail_over(self):
        """Kill the primary; the replica takes over with what has reached it."""
        self.clients.refuse()
        self.primary.kill()
        self.replica.promote()
        self.clients.move(self.replica.port)
        self.clients.resume()


@contextmanager
def replicated(**settings):
    """A pair of servers that run; `settings` are those of the primary."""
    primary = Server(synchronous_commit="on", **settings)
    stopping = [primary]
    try:
        primary.start()
        stream = Proxy(primary.port)
        stopping.append(stream)
        replica = Replica(primary, stream.port)
        stopping.append(replica)
        replica.start()
        clients = Proxy(primary.port)
        stopping.append(clients)
        yield Pair(primary, replica, clients, stream)
    finally:
        for one in reversed(stopping):
            one.stop() if isinstance(one, Server) else one.close()
