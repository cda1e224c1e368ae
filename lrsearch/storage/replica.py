"""How far a streaming replica of PostgreSQL is behind the server that takes writes."""

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, text

from lrsearch.plain_data import Document


@dataclass(frozen=True, kw_only=True)
class Replica:
    """What a replica says of itself."""

    #: Since the last change that it shows was committed, in seconds by both servers' clocks; None:
    #: it has replayed none since it started. Where nothing is written it grows, and nothing lacks.
    last_change_seconds: float | None
    #: Whether it shows everything that it has received.
    shows_all_received: bool
    #: Whether it is connected to a server that sends changes.
    streaming: bool

    def to_dict(self) -> Document:
        """As `--json` shows it."""
        return asdict(self)


#: `pg_stat_wal_receiver` has a row while a receiver runs, whose details not every role may see.
_QUERY = text(
    """
    SELECT pg_is_in_recovery() AS is_replica,
        greatest(0, extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()))::float8
            AS seconds,
        coalesce(pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn(), true) AS all_shown,
        EXISTS (SELECT pid FROM pg_stat_wal_receiver) AS streaming
    """
)


def replica_state(connection: Connection) -> Replica | None:
    """How far behind this database is; None where it is no replica of a PostgreSQL server."""
    if connection.dialect.name == "sqlite":
        return None
    found = connection.execute(_QUERY).one()
    if not found.is_replica:
        return None
    return Replica(
        last_change_seconds=found.seconds,
        shows_all_received=found.all_shown,
        streaming=found.streaming,
    )
