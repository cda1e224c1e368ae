"""Where the trials of a planned search stand, as a worker keeps it: it reads what has changed."""

from collections.abc import Collection

from sqlalchemy import Connection

from lrsearch.storage import waiting
from lrsearch.storage.waiting import Since, StandingRow


class Standings:
    """The trials of one study by their ids, as of the last transaction that was committed."""

    def __init__(self, study_id: int) -> None:
        self._study_id = study_id
        self._rows: dict[int, StandingRow] = {}
        self._since = Since()
        self._news: list[StandingRow] = []

    def read(self, connection: Connection) -> Collection[StandingRow]:
        """All of them, with what has changed; this transaction has changed nothing before."""
        self._news = list(waiting.standings(connection, self._study_id, self._since))
        return (self._rows | {row.id: row for row in self._news}).values()

    def take_in(self) -> None:
        """Keep what was read last, once its transaction has ended."""
        self._rows |= {row.id: row for row in self._news}
        since = self._since
        self._since = Since(
            ended=max([since.ended, *(row.ended or 0 for row in self._news)]),
            moved=max([since.moved, *(row.moved or 0 for row in self._news)]),
            ticket=max([since.ticket, *(row.ticket for row in self._news)]),
        )
        self._news = []

    def forget(self) -> None:
        """Know nothing again: the database may have lost its last commits."""
        self._rows, self._since, self._news = {}, Since(), []
