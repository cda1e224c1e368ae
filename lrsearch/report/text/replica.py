"""How far a replica is behind, in words."""

from lrsearch.storage.replica import Replica


def replica_text(replica: Replica) -> str:
    """A line: how old the last change is that it shows, and what keeps it from newer ones."""
    seconds = replica.last_change_seconds
    if seconds is None:
        line = "replica: it has replayed no change since it started"
    else:
        line = f"replica: the last change that it shows is {seconds:.1f} s old"
    if not replica.streaming:
        line += "; it is not connected to a server that sends changes"
    if not replica.shows_all_received:
        line += "; changes have arrived that it does not show yet"
    return line
