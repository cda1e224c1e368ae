"""Looking at a study again and again, until it is finished."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from lrsearch.report.live import events, snapshot
from lrsearch.report.live.event import Event
from lrsearch.report.live.snapshot import Snapshot
from lrsearch.storage.database import Database
from lrsearch.storage.outages import Patience

#: How often the database is asked.
LOOK_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A look at a study, and what has happened since the one before."""

    #: At the first look how the study stands; else see `events.between`.
    events: list[Event]
    #: None: the study was deleted.
    now: Snapshot | None

    @property
    def is_last(self) -> bool:
        """Whether there is nothing more to see."""
        return self.now is None or self.now.is_over


class Watcher:
    """Looks at the study of a name, and knows what it saw last."""

    def __init__(self, database: Database, name: str, *, patience: Patience) -> None:
        """`patience` is how long one look waits for a database that is out of reach."""
        self.database, self.name, self.patience = database, name, patience
        self._before: Snapshot | None = None

    def look(self) -> Seen | None:
        """The study now; None if it was not there at the first look.

        Raises StorageError when the database does not answer and patience has ended.
        """
        before = self._before
        now = self.database.look(
            lambda connection: snapshot.look(connection, self.database, self.name, before),
            patience=self.patience,
        )
        self._before = now
        if now is None:
            return None if before is None else Seen(events=[events.deleted(before)], now=None)
        if before is None:
            found = [events.first(now), *([events.finished(now)] if now.is_over else [])]
            return Seen(events=found, now=now)
        return Seen(events=events.between(before, now), now=now)


def follow(watcher: Watcher, *, seconds: float, to_the_end: bool) -> Iterator[Seen]:
    """A look every so many seconds; `to_the_end` ends with the study, else when it is deleted."""
    while (seen := watcher.look()) is not None:
        yield seen
        if seen.now is None or (to_the_end and seen.is_last):
            return
        time.sleep(seconds)
