"""What a sampler sees of a study: a thousand trials at most, and of each what TPE asks about."""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection

from lrsearch.study.optuna.seen_trial import SeenTrial

#: The view holds the best trials and the latest. TPE takes at most the best 25 as good (Optuna's
#: `default_gamma`) and weighs the newest 25 of the others fully, older ones ever less; its time
#: grows with their number. More than a thousand would change little and cost every worker.
BEST, LATEST = 100, 900

#: Ended trials that a sampler learns from.
TELLING = (OptunaState.COMPLETE, OptunaState.PRUNED)


@dataclass(frozen=True, kw_only=True)
class News:
    """What one look at the database gave."""

    #: Ended trials by their place in the order of ends: 1 is the study's first; trials of other
    #: studies come before it.
    ended: Mapping[int, SeenTrial]
    running: list[SeenTrial]
    #: The place of the last.
    last: int


class HistoryReader(Protocol):
    """Reads one study's trials."""

    def __init__(self, study_id: int, *, minimize: bool, known: int) -> None:
        """`known` is how many trials of other studies its sampler was given."""

    def read_first(self, connection: Connection) -> News:
        """The latest, and of the others the best."""
        ...

    def read_since(self, connection: Connection, last: int) -> News:
        """At least what ended after the place `last`, and all that run."""
        ...


class View:
    """A sampler's history of one study."""

    def __init__(self, reader: HistoryReader, *, minimize: bool) -> None:
        self._reader = reader
        self._minimize = minimize
        self._ended: dict[int, SeenTrial] = {}
        self._running: list[SeenTrial] = []
        self._last: int | None = None

    @property
    def is_blank(self) -> bool:
        """Whether it has never been filled; the first look takes longest."""
        return self._last is None

    def forget(self) -> None:
        """Be blank again."""
        self._ended, self._last = {}, None

    def read(self, connection: Connection) -> News:
        """What the view lacks."""
        if self._last is None:
            return self._reader.read_first(connection)
        return self._reader.read_since(connection, self._last)

    def take_in(self, news: News) -> None:
        """Add what was read, once its transaction has ended, and forget what is beyond the cap."""
        self._last, self._running = news.last, news.running
        self._ended |= news.ended
        oldest = news.last - LATEST
        if min(self._ended, default=1) <= oldest:
            best = best_places(
                (
                    (trial.value, place)
                    for place, trial in self._ended.items()
                    if trial.state == OptunaState.COMPLETE and trial.value is not None
                ),
                minimize=self._minimize,
            )
            kept = {place for place in self._ended if place > oldest} | best
            self._ended = {place: trial for place, trial in self._ended.items() if place in kept}

    def trials(self, *, but: int) -> list[SeenTrial]:
        """Ended and running trials by number, without Optuna's trial `but`."""
        running = [trial for trial in self._running if trial.optuna_id != but]
        return sorted([*self._ended.values(), *running], key=lambda trial: trial.number)


def best_places(values: Iterable[tuple[float, int]], *, minimize: bool) -> set[int]:
    """The places of the best values, the earlier first among equals."""
    sign = 1.0 if minimize else -1.0
    best = heapq.nsmallest(BEST, ((sign * value, place) for value, place in values))
    return {place for _, place in best}
